"""Reading JSON files of a results folder."""

from pathlib import Path
from typing import Any

from nsbench.benchmarks.files import read_bytes
from nsbench.benchmarks.records.shared import Shared, parse


class RecordError(ValueError):
    """A file in a results folder cannot be read; the message names it."""


class AbsentError(RecordError):
    """A file of a results folder is not there."""


def read_json(path: Path | str, shared: Shared | None = None) -> Any:
    """Parse a JSON file; whole numbers beyond 64 bits may come as floats.

    Args:
        path: The file.
        shared: For one who reads many alike and keeps what they say.

    Raises:
        AbsentError: If it is missing.
        RecordError: If it is truncated or not JSON.
    """
    try:
        return (shared.parse if shared else parse)(read_bytes(str(path)))
    except FileNotFoundError as error:
        raise AbsentError(f"cannot read {path}: {error}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"cannot read {path}: {error}") from None
