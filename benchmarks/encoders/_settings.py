"""Settings of a transformer's folder, read from its files as they are.

Source: the files of a sentence-transformers folder, Reimers and Gurevych 2019, Sentence-BERT.
https://arxiv.org/abs/1908.10084
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nsbench.benchmarks.encoders._sources import SourceError

_LENGTH_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_ROLE_LENGTHS = {"query_length": "query", "document_length": "document"}
_LONGEST_CONFIG = 4 * 2**20


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object of a file; empty if there is no such file.

    Raises:
        SourceError: If it cannot be read or is no object.
    """
    if not path.is_file():
        return {}
    if path.stat().st_size > _LONGEST_CONFIG:
        raise SourceError(f"{path} is larger than {_LONGEST_CONFIG} bytes: it is no configuration")
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise SourceError(f"{path} must be a JSON object, but is a {type(value).__name__}")
    return value


def settings_of(body: Path) -> dict[str, Any]:
    """Settings of a Transformer module; refused are those that our encoder does not follow."""
    path = next((body / n for n in _LENGTH_FILES if (body / n).is_file()), body / _LENGTH_FILES[0])
    found = read_object(path)
    wanted: dict[str, Any] = {
        "transformer_task": "feature-extraction",
        "module_output_name": "token_embeddings",
    }
    for key, value in found.items():
        if key in ("max_seq_length", "do_lower_case", "unpad_inputs", "__version__"):
            continue
        if key in _ROLE_LENGTHS:
            _whole(path, key, value)
            continue
        if key == "modality_config":
            text = value.get("text") if isinstance(value, dict) else value
            legal: Any = {"method": "forward", "method_output_name": "last_hidden_state"}
            fits = text == legal
        else:
            legal = wanted.get(key)
            fits = value == legal if key in wanted else not value
        if not fits:
            raise SourceError(
                f"{path}: {key} is {value!r}, which an encoder of a matrix does not follow; legal: "
                f"{legal!r}"
            )
    return found


def lengths_of(settings: Mapping[str, Any]) -> dict[str, int]:
    """Longest text in tokens by role, of the settings of a Transformer module."""
    return {r: int(settings[k]) for k, r in _ROLE_LENGTHS.items() if settings.get(k) is not None}


def longest(body: Path) -> int:
    """Longest text in tokens that the files of a transformer state, 0 if none does.

    Raises:
        SourceError: If it is no whole number >= 1.
    """
    stated = next((body / n for n in _LENGTH_FILES if (body / n).is_file()), None)
    places = [(stated, "max_seq_length")] if stated else []
    for path, key in [*places, (body / "tokenizer_config.json", "model_max_length")]:
        value = read_object(path).get(key)
        if value is None:
            continue
        _whole(path, key, value)
        if value < 10**9:  # larger ones stand for "no limit"
            return int(value)
    return 0


def _whole(path: Path | None, key: str, value: Any) -> None:
    """Raise ``SourceError`` unless a length is missing or a number >= 1."""
    wrong = isinstance(value, bool) or not isinstance(value, int | float) or not value >= 1
    if value is not None and wrong:
        raise SourceError(f"{path}: {key} is {value!r}; legal: a whole number >= 1")
