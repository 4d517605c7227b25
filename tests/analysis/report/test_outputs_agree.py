"""Every output tells of every method what the one procedure says: none computes it another way.

The truth is `judge` on the scores that the test wrote, computed here and not read from any output.
"""

import csv
import io
import json
import re
from dataclasses import dataclass

import numpy as np
import pytest
from made_results import make_cell, write_cell, write_matrix

from nsbench.analysis.cli.screen import show_leaderboard
from nsbench.analysis.figures.pictures import gather, pictures
from nsbench.analysis.read.load import load_results
from nsbench.analysis.report.page import write_report
from nsbench.analysis.statistics.verdicts import judge
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.analysis.tables.write import findings_of, write_leaderboard
from nsbench.benchmarks.records import ResultsFolder

METHODS = {  # in the order of their names, in which the intervals' draws are made
    "easiest": ("easiest", {}, -20),
    "hard(k=16)": ("hard", {"k": 16}, 1.6),
    "hard(k=4)": ("hard", {"k": 4}, -1.4),
    "in_batch": ("in_batch", {}, 0),
    "noise": ("noise", {}, 0.05),
    "random": ("random", {}, 0.02),
    "semi_hard": ("semi_hard", {}, 0.7),
}
BASE = list(METHODS).index("in_batch")
TASKS = ("STS12", "STS13")
VIEWS = ("none", "feature_cutoff")
SEEDS = 4
ALARM = "collapse (8 of 8 cells)"  # of `hard`, see `write_cell`


@dataclass(frozen=True)
class Told:
    """What an output says of a method; ``None`` where it does not."""

    mean: float
    verdict: str
    difference: float | None = None
    half: float | None = None
    low: float | None = None
    rank: int | None = None
    more: int | None = None
    alarm: str | None = None


@dataclass(frozen=True)
class World:
    """A results folder, its tables and pictures, and the truth about its methods."""

    root: object
    results: object
    board: object
    truth: dict


@pytest.fixture(scope="module", params=range(3))
def world(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("agree") / "results"
    folder, cells = ResultsFolder(root), []
    draw = np.random.default_rng(request.param)
    effect = [effect for _, _, effect in METHODS.values()]
    shape = (len(METHODS), SEEDS, len(VIEWS), len(TASKS))
    loud = draw.choice([0.05, 0.15, 0.6], (len(METHODS), 1, 1, 1))
    points = 60 + np.array(effect)[:, None, None, None] + loud * draw.standard_normal(shape)
    points = points + draw.normal(0, 0.5, (1, SEEDS, 1, 1))
    for m, (name, params, _) in enumerate(METHODS.values()):
        for s in range(SEEDS):
            for v, view in enumerate(VIEWS):
                cell = make_cell(name, view, s, **params)
                cells.append((cell, dict(zip(TASKS, points[m, s, v] / 100, strict=True))))
    write_matrix(folder, [c for c, _ in cells])
    for cell, scores in cells:
        write_cell(folder, cell, scores=scores)
    means = points.mean(axis=(2, 3))
    v = judge(means, [BASE] * len(METHODS))
    truth = {}
    for m, name in enumerate(METHODS):
        compared = m != BASE
        truth[name] = Told(
            mean=means[m].mean(),
            verdict=v.verdict()[m],
            difference=v.gap[m] if compared else None,
            half=v.gap_half[m] if compared else None,
            low=v.gap[m] - v.gap_half[m] if compared else None,
            rank=int(v.ranks()[m]),
            more=int(v.more[m]) if v.verdict()[m] == "undecided" else None,
            alarm=ALARM if name.startswith("hard") else "",
        )
    results = load_results(root)
    return World(root, results, make_leaderboard(results), truth)


def number(text):
    return float(text.replace("**", "").lstrip("+")) if text.strip() else None


def parts(text):
    """A number and what follows it: half of its interval, or the lower end."""
    found = re.fullmatch(
        r"\**([-+]?[\d.]+)(?: *\u00b1 *([\d.]+)| *\[([-+]?[\d.]+), [-+]?[\d.]+\])?\**", text
    )
    if not found:
        return None, None, None
    return tuple(None if g is None else float(g) for g in found.groups())


def verdict_and_more(text):
    verdict, _, more = text.partition(": ")
    return verdict, int(re.match(r"\d+", more)[0]) if more else None


def said(row, *, alarm=None):
    """What a row of a written table says."""
    mean, _, _ = parts(row["mean"])
    difference, half, low = parts(row["difference"])
    verdict, more = verdict_and_more(row["verdict"])
    rank = int(re.match(r"\d+", row["rank"])[0])
    return Told(mean, verdict, difference, half, low, rank, more, row.get("alarm", alarm))


def of_csv(world):
    write_leaderboard(world.results, world.board, world.root)
    with (world.root / "leaderboard_samplers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        r["sampler"]: Told(
            number(r["mean"]),
            r["verdict"],
            number(r["difference"]),
            None,
            number(r["difference_low"]),
            int(r["rank"]),
            int(r["more_seeds"]) if r["more_seeds"] else None,
            r["alarms"],
        )
        for r in rows
    }


def of_terminal(world, capsys):
    capsys.readouterr()
    show_leaderboard(world.board)
    text = capsys.readouterr().out.partition("Mean over augmentations")[2]
    lines = [line for line in text.splitlines() if line.strip()]
    places = [(m.group(), m.start(), m.end()) for m in re.finditer(r"\S+", lines[0])]
    out = {}
    for line in lines[2 : 2 + len(METHODS)]:
        cells = dict.fromkeys((name for name, _, _ in places), "")
        for word in re.finditer(r"\S+(?: \S+)*", line):
            near = min(places, key=lambda p: min(abs(word.start() - p[1]), abs(word.end() - p[2])))
            cells[near[0]] = word.group()
        out[cells["method"]] = said(cells, alarm="")
    return out


def table_after(text, heading):
    lines = text[text.index(heading) + len(heading) :].strip().splitlines()
    rows = [
        [re.sub(r"\\(.)", r"\1", c.strip()) for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
        if line.startswith("|")
    ]
    size = next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))
    head, _, *body = rows[:size]
    return [dict(zip(head, row, strict=True)) for row in body]


def of_markdown(world):
    write_leaderboard(world.results, world.board, world.root)
    text = (world.root / "tables" / "leaderboard.md").read_text()
    rows = table_after(text, "### Mean over augmentations")
    return {r["sampler"]: said(r) for r in rows}


def of_report(world):
    page = write_report(world.results, world.root).read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    view = data["pools"][0]["views"]["samplers"]
    stored = view["stored"]
    return {
        method["label"]: Told(
            stored["mean"][i],
            stored["verdict"][i],
            stored["difference"][i],
            None,
            stored["difference_low"][i],
            stored["rank"][i],
            stored["more_seeds"][i],
            stored["alarms"][i],
        )
        for i, method in enumerate(view["methods"])
    }


def of_figure(world):
    material = gather(world.results, world.board)[0]
    _, _, text = next(pictures(material, ["leaderboard"]))
    rows = list(csv.DictReader(io.StringIO(text)))
    return {
        r["label"].removeprefix("! "): Told(
            number(r["mean"]),
            r["verdict"],
            number(r["shown"]) if r["verdict"] != "baseline" else None,
            None,
            number(r["low"]),
            int(r["rank"]),
            None,
            ALARM if r["label"].startswith("! ") else "",
        )
        for r in rows
    }


OUTPUTS = {
    "CSV": of_csv,
    "Markdown": of_markdown,
    "report": of_report,
    "figure": of_figure,
}


def check(truth, told, *, whole=True):
    assert set(told) == set(truth) if whole else set(told) <= set(truth)
    for name, found in told.items():
        for field, value in vars(found).items():
            wanted = getattr(truth[name], field)
            place = f"{name}, {field}"
            if value is None and field in ("half", "low", "more"):
                continue
            if isinstance(wanted, float):
                assert value == pytest.approx(wanted, abs=0.0051), place
            else:
                assert value == wanted, place


@pytest.mark.parametrize("output", OUTPUTS)
def test_an_output_says_what_the_procedure_says(world, output):
    check(world.truth, OUTPUTS[output](world), whole=output != "README")


def test_the_terminal_says_what_the_procedure_says(world, capsys):
    check(world.truth, of_terminal(world, capsys))


def test_findings_name_every_method_under_its_verdict(world):
    lines = findings_of(world.board, world.board.pools[0])
    opens = {
        "better": ("Use ", "Also better", "is best"),
        "equivalent": ("Equivalent",),
        "worse": ("Worse",),
        "undecided": ("Nothing here is decided",),
    }
    for name, truth in world.truth.items():
        if truth.verdict == "baseline":
            continue
        named = [line for line in lines if re.search(rf"(?<!\w){re.escape(name)}(?![\w(])", line)]
        heads = [line for line in named if not line.startswith("Alarms")]
        own = [line for line in heads if any(o in line[:60] for o in opens[truth.verdict])]
        assert own, (name, truth, lines)
        if truth.verdict == "undecided":
            assert re.search(rf"{re.escape(name)} \({truth.more}(?:\)| more seed)", own[0]), own
        else:
            told = rf"{re.escape(name)}(?:\)|:| is best:)? ?\(?"
            gap = f"{truth.difference:+.1f}"
            told += re.escape("0.0" if gap in ("+0.0", "-0.0") else gap)
            assert any(re.search(told, line) for line in own), (name, own)
        rang = any(name in line for line in lines if line.startswith("Alarms"))
        assert rang == bool(truth.alarm), (name, lines)
