"""Our numbers next to a paper's: means over seeds, their spread, and a verdict for every row.

Published numbers are data, ``configs/papers/SUITE.toml``, each with its source.
"""

import csv
import io
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import resources
from statistics import mean, stdev
from typing import Any

from nsbench.benchmarks.data.sts_unlabelled import STS7
from nsbench.benchmarks.keys import spreadsheet_safe
from nsbench.benchmarks.matrix.config import ConfigError, load_config
from nsbench.benchmarks.records import CellPaths, ResultsFolder, RunRecord, read_scores
from nsbench.samplers import UnknownNameError, suggest

VERDICTS = ("within spread", "above", "below", "one seed", "not run")
AVERAGE = "average"
"""Mean of the seven STS tasks, where a run has all of them."""


@dataclass(frozen=True)
class PaperRow:
    """One published row.

    Attributes:
        name: How the paper calls it.
        match: Which of our cells it is to be compared with: globs on the labels of axes, or on what
            a path such as ``budget.batch_size`` leads to in a cell.
        scores: Published score times 100 by task, `AVERAGE` among them.
        sd: Published standard deviation over seeds by task, where there is one.
        source: Where the numbers were read.
    """

    name: str
    match: Mapping[str, str]
    scores: Mapping[str, float]
    sd: Mapping[str, float] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class Paper:
    """The published numbers of a suite.

    Attributes:
        suite: Its name.
        title: The paper.
        encoder: What the paper trains.
        sources: Where to read more.
        rows: The rows.
        metric: Metric of its scores; empty for the main one of each task.
        split: Split that is scored.
    """

    suite: str
    title: str
    encoder: str
    sources: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    metric: str = ""
    split: str = "test"


@dataclass(frozen=True)
class Compared:
    """One published score and ours, both times 100.

    Attributes:
        row: The paper's row.
        score: Task, or `AVERAGE`.
        paper: The published value.
        ours: Our mean over seeds, ``None`` if there is no finished cell.
        sd: Our standard deviation over seeds, ``None`` below two.
        seeds: Seeds.
        verdict: One of `VERDICTS`.
    """

    row: str
    score: str
    paper: float
    ours: float | None
    sd: float | None
    seeds: int
    verdict: str

    def shown(self) -> tuple[str, ...]:
        """The row as text."""
        ours = "" if self.ours is None else f"{self.ours:.2f}"
        sd = "" if self.sd is None else f"{self.sd:.2f}"
        return self.row, self.score, f"{self.paper:.2f}", ours, sd, str(self.seeds), self.verdict


@dataclass(frozen=True)
class Report:
    """All rows, and what makes ours another experiment than the paper's."""

    rows: tuple[Compared, ...]
    notes: tuple[str, ...]


def papers() -> list[str]:
    """Suites that have published numbers."""
    folder = resources.files("nsbench.benchmarks.matrix.configs.papers")
    names = (item.name for item in folder.iterdir())
    return sorted(n.removesuffix(".toml") for n in names if n.endswith(".toml"))


def load_paper(suite: str) -> Paper:
    """The published numbers of a suite.

    Raises:
        UnknownNameError: If there are none.
        ConfigError: If the file has another shape.
    """
    if suite not in papers():
        raise UnknownNameError(f"no published numbers for {suite!r}. {suggest(suite, papers())}")
    path = resources.files("nsbench.benchmarks.matrix.configs.papers") / f"{suite}.toml"
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
        rows = tuple(PaperRow(**row) for row in raw["row"])
        how = {key: str(raw[key]) for key in ("metric", "split") if key in raw}
        return Paper(suite, raw["title"], raw["encoder"], tuple(raw["sources"]), rows, **how)
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"the published numbers of {suite} cannot be read: {error}") from None


def compare(paper: Paper, folder: ResultsFolder) -> Report:
    """Compare published rows with the finished cells of a results folder.

    A folder without cells gives rows that are not run.
    """
    how = {"metric": paper.metric, "split": paper.split}
    cells = [(record, scores_of(paths, **how)) for paths, record in _done(folder)]
    rows: list[Compared] = []
    used: list[RunRecord] = []
    notes: list[str] = []
    for row in paper.rows:
        mine = [(r, s) for r, s in cells if _matches(r, row.match)]
        several = {_settings(r) for r, _ in mine}
        if len(several) > 1:
            notes.append(f"{row.name}: {len(several)} different settings match it; all are pooled")
        used += [r for r, _ in mine]
        for score, value in row.scores.items():
            values = [s[score] for _, s in mine if score in s]
            rows.append(compared(row, score, value, values))
    return Report(tuple(rows), tuple(notes + _differences(paper, used)))


def compared(row: PaperRow, score: str, value: float, ours: Sequence[float]) -> Compared:
    """One score with its verdict.

    The published value counts as within spread if it lies in the 95 % interval in which our seeds
    would put it: one further run if the paper gives a single one, its mean if it gives a spread.
    """
    if not ours:
        return Compared(row.name, score, value, None, None, 0, "not run")
    centre = mean(ours)
    if len(ours) == 1:
        return Compared(row.name, score, value, centre, None, 1, "one seed")
    spread = stdev(ours)
    theirs = row.sd.get(score, spread)
    width = _quantile(len(ours) - 1) * math.sqrt(theirs**2 + spread**2 / len(ours))
    verdict = "within spread"
    if abs(centre - value) > width:
        verdict = "above" if centre > value else "below"
    return Compared(row.name, score, value, centre, spread, len(ours), verdict)


def _quantile(degrees: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, degrees))


def scores_of(paths: CellPaths, *, metric: str = "", split: str = "test") -> dict[str, float]:
    """Scores of a cell times 100 by task, with `AVERAGE` where all seven STS are there.

    Args:
        paths: Files of the cell.
        metric: Of the scores; empty for each task's main one.
        split: Of the tasks.
    """
    if not paths.scores.is_file():
        return {}
    out: dict[str, float] = {}
    for score in read_scores(paths.scores):
        if (score.metric == metric if metric else score.main) and score.split == split:
            out[score.task] = 100 * score.value
    if all(task in out for task in STS7):
        out[AVERAGE] = mean(out[task] for task in STS7)
    return out


def table_csv(report: Report) -> str:
    """The report as CSV, one line per published score."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["row", "score", "paper", "ours", "sd", "seeds", "verdict"])
    # Only the name is other people's text; a difference may begin with a minus.
    for name, *numbers in (row.shown() for row in report.rows):
        writer.writerow([spreadsheet_safe(name), *numbers])
    return buffer.getvalue()


def _done(folder: ResultsFolder) -> list[tuple[CellPaths, RunRecord]]:
    return [(paths, r) for paths, r in folder.records()[0] if r.status == "done"]


def _labels(record: RunRecord) -> Mapping[str, Any]:
    found = record.cell.get("labels", {})
    return found if isinstance(found, Mapping) else {}


def _matches(record: RunRecord, match: Mapping[str, str]) -> bool:
    return all(fnmatchcase(_value(record, key), glob) for key, glob in match.items())


def _value(record: RunRecord, key: str) -> str:
    """An axis's label, or what a path such as ``budget.batch_size`` leads to in the cell."""
    if key in _labels(record):
        return str(_labels(record)[key])
    value: Any = record.cell
    for part in key.split("."):
        value = value.get(part, "") if isinstance(value, Mapping) else ""
    return str(value)


def _settings(record: RunRecord) -> str:
    labels = {k: v for k, v in _labels(record).items() if k != "seed"}
    return str(sorted(labels.items()))


def _differences(paper: Paper, used: Sequence[RunRecord]) -> list[str]:
    """Return what makes our cells another experiment: the encoder, the number of steps."""
    notes = []
    encoders = sorted({str(_labels(r).get("encoder", "")) for r in used})
    other = [e for e in encoders if paper.encoder not in e]
    if other:
        notes.append(f"the paper trains {paper.encoder}, ours is {', '.join(other)}")
    planned = _planned_steps(paper.suite)
    steps = {int(r.cell.get("budget", {}).get("steps", 0)) for r in used} - {0}
    short = sorted(s for s in steps if planned and s not in planned)
    if short:
        wanted = ", ".join(map(str, sorted(planned)))
        notes.append(f"ours trained {', '.join(map(str, short))} steps, the suite has {wanted}")
    return notes


def _planned_steps(suite: str) -> set[int]:
    try:
        steps: Any = load_config(suite).budget.steps
    except ValueError:
        return set()
    return set(steps) if isinstance(steps, list) else {steps}
