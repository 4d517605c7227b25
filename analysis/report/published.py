"""Published results: packed records in ``cells``, and all files that are made from them.

Each text file of a published folder is a function of its packed records alone: `rebuild` makes them
again, and `differences` lists the stored ones with other bytes. Pictures and the report depend on
versions and fonts, so they are made again and never compared; the CSV of each picture is. Figures
and a report are made again if they are there.
"""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from nsbench.analysis.figures.pictures import gather, pictures, render
from nsbench.analysis.figures.registry import figure_kind, figures
from nsbench.analysis.read.load import Results, load_results, unchosen
from nsbench.analysis.report.page import report_html
from nsbench.analysis.statistics.verdicts import MARGIN
from nsbench.analysis.tables.bands import write_bands
from nsbench.analysis.tables.by_query import query_table, write_by_query
from nsbench.analysis.tables.early import write_early
from nsbench.analysis.tables.false_negatives import write_false_negatives
from nsbench.analysis.tables.leaderboard import Leaderboard, make_leaderboard
from nsbench.analysis.tables.pools import pools
from nsbench.analysis.tables.predictors import write_predictors
from nsbench.analysis.tables.sources import write_sources
from nsbench.analysis.tables.tuned import write_tuned
from nsbench.analysis.tables.write import write_leaderboard
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.records import RecordError
from nsbench.benchmarks.records.packing import is_packed, pack, unpack

CELLS = "cells"
TEXTS = (".csv", ".md", ".tex")


def publish(
    root: Path,
    out: Path,
    *,
    names: Sequence[str] = (),
    report: bool = False,
    baseline: str = "in_batch",
    texts: bool = True,
    distributions: bool = True,
    margin: float = MARGIN,
) -> list[str]:
    """Pack a results folder into ``out/cells`` and make everything else from what was packed.

    Args:
        root: The results folder.
        out: The published folder; made if missing.
        names: Figures to keep.
        report: Keep a report, too.
        baseline: Sampler that differences are to.
        texts: Keep texts of the shared batches; off for private data.
        distributions: Keep histograms of similarity and quantiles of difficulty; without them,
            figures of the former are left out, and those of the latter show means alone.
        margin: Difference in points that does not matter, above 0.

    Returns:
        One line per file that could not be read.

    Raises:
        RecordError: If the folder holds a tuning study that has not chosen its settings yet, or no
            record that can be read.
    """
    for name in names:
        figure_kind(name)
    if told := unchosen(root):
        raise RecordError(f"{told}; it is published after that")
    _, bad = pack(root, out / CELLS, texts=texts, distributions=distributions)
    for stale in (out / "figures").glob("*"):
        stale.unlink()
    rebuild(out, names=names, report=report, baseline=baseline, margin=margin)
    return bad


def rebuild(
    folder: Path,
    *,
    names: Sequence[str] | None = None,
    report: bool | None = None,
    baseline: str = "in_batch",
    margin: float = MARGIN,
) -> list[Path]:
    """Make all files of a published folder again from its packed records.

    Args:
        folder: The published folder.
        names: Figures; those that are there already if ``None``.
        report: Write a report; ``None`` to do so if one is there already.
        baseline: Sampler that differences are to.
        margin: Difference in points that does not matter, above 0.

    Returns:
        The files written.

    Raises:
        RecordError: If the folder has no packed records.
    """
    with TemporaryDirectory() as temporary:
        made = Path(temporary, "made")
        kinds = stored_figures(folder) if names is None else tuple(names)
        with_report = (folder / "report.html").is_file() if report is None else report
        board = partial(make_leaderboard, baseline=baseline, margin=margin)
        _make(folder, made, kinds, board, drawn=True, report=with_report)
        written = []
        for path in sorted(p for p in made.rglob("*") if p.is_file()):
            target = folder / path.relative_to(made)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, path.read_bytes())
            written.append(target)
    return written


def differences(folder: Path, *, baseline: str = "in_batch", margin: float = MARGIN) -> list[str]:
    """Return a line per text file of a published folder that its packed records do not give.

    Raises:
        RecordError: If the folder has no packed records.
    """
    with TemporaryDirectory() as temporary:
        made = Path(temporary, "made")
        board = partial(make_leaderboard, baseline=baseline, margin=margin)
        _make(folder, made, stored_figures(folder), board, drawn=False, report=False)
        wanted, stored = _texts(made), _texts(folder)
    out = [f"{folder / n} is not stored" for n in sorted(wanted.keys() - stored.keys())]
    out += [f"{folder / n} comes from no record" for n in sorted(stored.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & stored.keys()):
        if wanted[name] != stored[name]:
            out.append(f"{folder / name} differs, {_first(stored[name], wanted[name])}")
    return out


def stored_figures(folder: Path) -> tuple[str, ...]:
    """Return the names of the figures whose CSVs are in a published folder."""
    stems = [p.stem for p in (folder / "figures").glob("*.csv")]
    return tuple(
        name for name in figures() if any(s == name or s.startswith(f"{name}-") for s in stems)
    )


def _make(
    folder: Path,
    out: Path,
    names: Sequence[str],
    judged: Callable[[Results], Leaderboard],
    *,
    drawn: bool,
    report: bool,
) -> None:
    if not is_packed(folder / CELLS):
        raise RecordError(f"{folder} is not a published folder: it has no {CELLS}/records.parquet")
    root = out.with_name("unpacked")
    unpack(folder / CELLS, root)
    results = load_results(root)
    board = judged(results)
    # scores.csv is left out: it is large, and made in a second.
    write_leaderboard(results, board, out, scores=False)
    material, bad = gather(results, board)
    write_false_negatives(results, board, out, material.difficulty)
    every = pools(results)
    write_bands(every, board, out)
    write_by_query(query_table(results, every, board)[0], out)
    write_predictors(every, material.difficulty, out)
    write_sources(material.difficulty, out)
    write_tuned(results, out)
    write_early(results, material.difficulty, out)
    (out / "figures").mkdir()
    for name, stem, csv in pictures(material, names) if names else ():
        write_atomically(out / "figures" / f"{stem}.csv", csv)
        if drawn:
            write_atomically(out / "figures" / f"{stem}.png", render(name, csv, "png"))
    if report:
        page = report_html(results, board, material, bad, folder="again")  # as its commands make
        write_atomically(out / "report.html", page)
    shutil.rmtree(root)


def _texts(folder: Path) -> dict[str, bytes]:
    """Return the text files under a folder by name, without those of its packed records."""
    files = (p for p in folder.rglob("*") if p.suffix in TEXTS and p.is_file())
    named = {p.relative_to(folder).as_posix(): p for p in files if p.name != "README.md"}
    return {n: p.read_bytes() for n, p in named.items() if not n.startswith(f"{CELLS}/")}


def _first(stored: bytes, made: bytes) -> str:
    """Return words for the first line in which two texts differ."""
    one, two = stored.splitlines(), made.splitlines()
    pairs = zip(one, two, strict=False)
    place = next((i for i, (a, b) in enumerate(pairs, 1) if a != b), min(len(one), len(two)) + 1)
    return f"first in line {place}"
