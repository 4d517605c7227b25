"""Texts that identify plain data: canonical JSON, content keys, safe names."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: the text that keys are made of.

    Raises:
        ValueError: If a number is NaN or infinite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_key(value: Any) -> str:
    """First 12 hex digits of the SHA-256 of `canonical_json`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:12]


def slug(text: str, limit: int = 48) -> str:
    """Letters, digits, dot, dash and underscore only, so that no name becomes a path."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:limit] or "cell"


def describe_choice(choice: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> str:
    """``band(high=0.05)``: a name with the parameters that differ from ``defaults``."""
    given = choice.get("params") or {}
    shown = {k: v for k, v in given.items() if defaults is None or defaults.get(k, ...) != v}
    inside = ", ".join(f"{k}={v}" for k, v in sorted(shown.items()))
    return f"{choice['name']}({inside})" if inside else str(choice["name"])
