"""Tuning studies of several machines become one: the same study, run for other methods on each.

Trials and reads of tests are joined by what they are of. What was chosen is not copied: the study
chooses again once it goes on in the merged folder, where it finds all cells.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nsbench.benchmarks.files import read_regular_file, write_atomically
from nsbench.benchmarks.keys import canonical_json, pretty_json
from nsbench.benchmarks.records.folder import ResultsFolder
from nsbench.benchmarks.records.json_file import RecordError, read_json
from nsbench.benchmarks.records.study import ASKED, CHOSEN, LISTED, READ, difference, is_study

Lines = dict[str, dict[str, Any]]
Key = Callable[[Mapping[str, Any]], str]


def merge_studies(
    folders: Sequence[ResultsFolder], out: ResultsFolder, left_out: Callable[[str], None]
) -> list[ResultsFolder]:
    """Join what studies add to a results folder; cells are not copied here.

    Args:
        folders: That are merged, in order of precedence, ``out`` among them if it holds anything.
        out: Where they go.
        left_out: Told a line for everything that is not joined.

    Returns:
        The folders whose trials are joined, too; none without a study.
    """
    studies = [folder for folder in folders if is_study(folder)]
    if not studies:
        return []
    if len(studies) < len(folders):
        files = ", ".join((ASKED, CHOSEN, LISTED, READ))
        for folder in studies:
            left_out(f"{folder.root} holds a tuning study and others do not: {files}")
        return []
    asked, joined = _asked(studies, left_out)
    if not joined or (out in studies and out not in joined):
        return []  # nothing that is there is replaced by something else
    write_atomically(out.root / ASKED, pretty_json(asked))
    (out.root / CHOSEN).unlink(missing_ok=True)  # chosen among fewer trials
    for name, key in ((LISTED, _of_trial), (READ, _of_read)):
        found: Lines = {}
        for folder in joined:
            _join(found, folder.root / name, key, left_out)
        if found:
            text = "".join(canonical_json(row) + "\n" for row in found.values())
            write_atomically(out.root / name, text)
    return joined


def _asked(
    studies: Sequence[ResultsFolder], left_out: Callable[[str], None]
) -> tuple[Mapping[str, Any], list[ResultsFolder]]:
    """Return the study that asks for most, and the folders that hold it or a part of it."""
    asked: Mapping[str, Any] = {}
    joined = []
    for folder in studies:
        try:
            own = read_json(folder.root / ASKED)
        except RecordError as error:
            left_out(f"{error}")
            continue
        if not isinstance(own, dict) or not all(isinstance(part, dict) for part in own.values()):
            left_out(f"{folder.root / ASKED} is not the file of a study")
            continue
        if not asked or not difference(asked, own):
            asked = own
        elif why := difference(own, asked):
            left_out(f"{folder.root} holds another study: {why}; its trials")
            continue
        joined.append(folder)
    return asked, joined


def _join(found: Lines, path: Path, key: Key, left_out: Callable[[str], None]) -> None:
    """Add the lines of a journal that are not there yet; one that was cut short counts as none."""
    if not path.is_file():
        return
    own: Lines = {}
    for line in read_regular_file(path).decode("utf-8", "replace").splitlines():
        try:
            row = json.loads(line)
            own[key(row)] = row
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    for name, row in own.items():
        known = found.setdefault(name, row)
        if _facts(known) != _facts(row):
            left_out(f"{path}: {name} ended otherwise in a folder before it, which is kept")


def _of_trial(row: Mapping[str, Any]) -> str:
    return f"trial {int(row['number']) + 1} of {row['method']}"


def _of_read(row: Mapping[str, Any]) -> str:
    return f"cell {row['key']}"


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line without when and how long."""
    return {name: value for name, value in row.items() if name not in ("at", "seconds", "setting")}
