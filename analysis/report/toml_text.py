"""Plain data as TOML text: the standard library reads TOML and writes none."""

import json
import re
from collections.abc import Mapping
from typing import Any


def toml_text(data: Mapping[str, Any]) -> str:
    """A table as TOML: plain values first, then one ``[table]`` per inner table.

    Values that TOML has no word for (``None``) are left out; tables within lists and below the
    first level are written inline.

    Raises:
        ValueError: If a value is of a type that TOML does not have.
    """
    plain = {k: v for k, v in data.items() if v is not None and not isinstance(v, Mapping)}
    inner = {k: v for k, v in data.items() if isinstance(v, Mapping) and v}
    lines = [f"{_key(k)} = {_value(v)}" for k, v in plain.items()]
    for name, table in inner.items():
        lines += ["", f"[{_key(name)}]"]
        lines += [f"{_key(k)} = {_value(v)}" for k, v in table.items() if v is not None]
    return "\n".join(lines).strip() + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(v) for v in value if v is not None) + "]"
    if isinstance(value, Mapping):
        pairs = (f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None)
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    raise ValueError(f"TOML has no {type(value).__name__}")
