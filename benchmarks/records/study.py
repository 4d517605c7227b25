"""Files of a tuning study's folder, and whether two studies are one. No torch here."""

from collections.abc import Mapping
from typing import Any

from nsbench.benchmarks.records.folder import ResultsFolder

ASKED, CHOSEN = "study.json", "tuning.json"
"""Settings of a study, and what it chose."""
LISTED, READ = "trials.jsonl", "test_reads.jsonl"
"""Its journals: a line for each trial, and for each test score that is about to be read."""
TRIALS = "trials"
"""Results folder of its trials, in its own."""
GROWING = ("fresh_seeds", "methods")
"""Lists of a study that may get more at their ends: no draw of what was there depends on them."""


def is_study(folder: ResultsFolder) -> bool:
    """Return whether a folder is that of a tuning study."""
    return (folder.root / ASKED).is_file()


def difference(before: Mapping[str, Any], asked: Mapping[str, Mapping[str, Any]]) -> str:
    """Say in what a study asks for something else than an earlier one; empty if it asks for more.

    Args:
        before: Parts of the earlier one, by name, and their settings.
        asked: Those of the later one.
    """
    for part, now in asked.items():
        for key, value in now.items():
            known = before.get(part, {}).get(key)
            if key in GROWING and known and value[: len(known)] == known:
                continue  # more of them: what was chosen stays, the new ones are run
            if key != "run" and known != value:
                return f"its {part} has {key} = {known!r}, not {value!r}"
    return ""
