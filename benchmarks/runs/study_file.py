"""The file of a tuning study that says what was asked; a folder holds one study, or none."""

from collections.abc import Mapping
from typing import Any

from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import pretty_json
from nsbench.benchmarks.matrix.config import ConfigError
from nsbench.benchmarks.records import ResultsFolder, read_json
from nsbench.benchmarks.records.study import ASKED, difference, is_study


def write_study(folder: ResultsFolder, asked: Mapping[str, Mapping[str, Any]]) -> None:
    """Write what a study asks, into a folder that is new, or holds this study with less of it.

    Args:
        folder: Of the study.
        asked: Its parts, by name, and their settings.

    Raises:
        ConfigError: If the folder holds another study, or the results of a matrix.
    """
    path = folder.root / ASKED
    if is_study(folder):
        if why := difference(read_json(path), asked):
            raise ConfigError(f"{folder.root} holds another study: {why}; choose another folder")
    elif folder.matrix.is_file():
        raise ConfigError(
            f"{folder.root} holds the results of a matrix, which a study would write over; choose "
            "another folder"
        )
    folder.root.mkdir(parents=True, exist_ok=True)
    write_atomically(path, pretty_json(asked))


def refuse_study(folder: ResultsFolder) -> None:
    """Raise ConfigError if a folder into which a matrix is to be run holds a tuning study."""
    if is_study(folder):
        raise ConfigError(
            f"{folder.root} holds a tuning study, whose list of cells a matrix would write over; "
            "choose another folder, or continue the study with nsbench tune"
        )
