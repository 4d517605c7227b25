"""Texts of plain data: canonical JSON, content keys, safe names."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
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


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a line of JSON for each row, as a ``jsonl`` file holds them."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def content_key(value: Any) -> str:
    """Return the first 12 hex digits of the SHA-256 of `canonical_json`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:12]


def slug(text: str, limit: int = 48) -> str:
    """Return a text of letters, digits, dots, dashes and underscores, safe as a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:limit] or "cell"


_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def spreadsheet_safe(text: str) -> str:
    """Return a text for a cell of a CSV file that no spreadsheet takes for a formula.

    A text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return, perhaps after
    apostrophes, gets one apostrophe in front; `spreadsheet_plain` takes it away again.

    Source: OWASP, CSV Injection. https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{text}" if _FORMULA.match(text) else text


def spreadsheet_plain(text: str) -> str:
    """Return the text that `spreadsheet_safe` was given."""
    return text[1:] if text[:1] == "'" and _FORMULA.match(text) else text


def visible(text: str) -> str:
    """Return a text with control characters, marks of direction and half characters as escapes.

    Line breaks and tabs stay. Nothing in it can move the cursor of a terminal, set its title or
    turn the order of what is read.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSEEN.sub(lambda found: _escape(ord(found[0])), text)


def _escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def describe_choice(choice: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> str:
    """Return a name with the parameters that differ from ``defaults``: ``band(high=0.05)``."""
    given = choice.get("params") or {}
    shown = {k: v for k, v in given.items() if defaults is None or defaults.get(k, ...) != v}
    inside = ", ".join(f"{k}={v}" for k, v in sorted(shown.items()))
    return f"{choice['name']}({inside})" if inside else str(choice["name"])
