"""Reading JSON files of a results folder."""

from pathlib import Path
from typing import Any

from nsbench.benchmarks.files import read_regular_file
from nsbench.benchmarks.records.shared import Shared, parse


class RecordError(ValueError):
    """A file in a results folder cannot be read; the message names it."""


class AbsentError(RecordError):
    """A file of a results folder is not there."""


def read_json(path: Path | str) -> Any:
    """Parse a JSON file; whole numbers beyond 64 bits may come as floats.

    Raises:
        AbsentError: If it is missing.
        RecordError: If it is truncated or not JSON.
    """
    return parsed(read_json_bytes(path), path)


def read_json_bytes(path: Path | str) -> bytes:
    """Return the bytes of a JSON file.

    Raises:
        AbsentError: If it is missing.
        RecordError: If it cannot be read, or something else is in its place.
    """
    try:
        return read_regular_file(path)
    except FileNotFoundError as error:
        raise AbsentError(f"cannot read {path}: {error}") from None
    except (OSError, ValueError) as error:
        raise RecordError(f"cannot read {path}: {error}") from None


def parsed(data: bytes, path: Path | str, shared: Shared | None = None) -> Any:
    """Parse what was read of a JSON file, see `read_json`."""
    try:
        return (shared.parse if shared else parse)(data)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"cannot read {path}: {error}") from None
