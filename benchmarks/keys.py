"""Texts of plain data: canonical JSON, content keys, safe names."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces, the text that keys are made from.

    Raises:
        ValueError: If a number is NaN or infinite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def pretty_json(value: Any) -> str:
    """Return JSON for people, with sorted keys, one space of indent and a line break at the end."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def content_key(value: Any) -> str:
    """Return the first 12 hex digits of the SHA-256 of `canonical_json`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:12]


def slug(text: str, limit: int = 48) -> str:
    """Return a text of letters, digits, dots, dashes and underscores, safe as a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:limit] or "cell"


def describe_choice(choice: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> str:
    """Return a name with the parameters that differ from ``defaults``: ``band(high=0.05)``."""
    given = choice.get("params") or {}
    shown = {k: v for k, v in given.items() if defaults is None or defaults.get(k, ...) != v}
    inside = ", ".join(f"{k}={v}" for k, v in sorted(shown.items()))
    return f"{choice['name']}({inside})" if inside else str(choice["name"])
