"""Axes over several comparison groups, and arrows of tuned settings, in a real browser."""

import json
import re

import pytest
from made_results import change_record, make_cell, write_cell, write_matrix

from nsbench.analysis.read.load import load_results
from nsbench.analysis.report.page import write_report
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.benchmarks.records import ResultsFolder

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
SAMPLERS = ("in_batch", "random", "easiest")
EFFECT = {100: 0.0, 200: 0.02, 300: -0.03}
"""Of a data set, by its rows; `easiest` loses as much as the others gain."""


def cells_of(samplers):
    for rows in EFFECT:
        for sampler in samplers:
            for seed in range(4):
                cell = make_cell(sampler, "none", seed)
                cell["data"]["params"]["rows"] = rows
                cell["labels"]["data"] = f"planted(rows={rows})"
                yield cell


def write(folder, samplers):
    write_matrix(folder, list(cells_of(samplers)))
    for cell in cells_of(samplers):
        effect = EFFECT[cell["data"]["params"]["rows"]]
        luck = 0.002 * ((7 * cell["seed"] + len(cell["sampler"]["name"])) % 5)
        gain = -effect if cell["sampler"]["name"] == "easiest" else effect
        write_cell(folder, cell, scores={"STS12": 0.6 + gain + luck, "STS13": 0.5 + gain - luck})
    return load_results(folder.root)


def shown(page):
    """Value, mean, difference and verdict of each row of an axis."""
    rows = page.locator("#board table.axis tbody tr").all()
    texts = [[" ".join(c.split()) for c in r.locator("th, td").all_inner_texts()] for r in rows]
    return {
        t[1]: (float(t[2]), re.sub("\u2212", "-", t[3].split(" ")[0]), t[4].split(" ")[1])
        for t in texts
    }


def test_filters_recompute_axes_over_comparison_groups(tmp_path, show):
    whole = write(ResultsFolder(tmp_path / "whole"), SAMPLERS)
    part = write(ResultsFolder(tmp_path / "part"), SAMPLERS[:2])
    page = show(write_report(whole, tmp_path / "report"), "#leaderboard?tab=axis-data")
    before = shown(page)
    page.locator("#board .panel summary", has_text="Filter").click()
    page.get_by_role("checkbox", name="easiest").uncheck()
    after = shown(page)
    assert after != before
    axes = make_leaderboard(part).axes.set_index("value")
    assert set(after) == set(axes.index) == {f"planted(rows={n})" for n in EFFECT}
    for value, (mean, gap, verdict) in after.items():
        row = axes.loc[value]
        assert mean == pytest.approx(row["mean"], abs=0.006)
        assert verdict == row["verdict"]
        if verdict != "baseline":
            assert float(gap) == pytest.approx(row["difference"], abs=0.006)
    assert "Recomputed" in page.locator("#board [role=status]").inner_text()


def test_arrows_lead_from_default_to_tuned(tmp_path, show):
    folder = ResultsFolder(tmp_path / "study")
    keys = {}
    for name, k, seconds, score in (
        ("in_batch", 0, 2, 0.6),
        ("hard", 16, 4, 0.61),
        ("hard", 4, 8, 0.64),
    ):
        for seed in range(3):
            cell = make_cell(name, "none", seed, **({"k": k} if k else {}))
            paths = write_cell(folder, cell, scores={"STS12": score + seed / 1000})
            change_record(paths, seconds={"train": seconds, "total": seconds})
            keys.setdefault((name, k), []).append(paths.folder.name.rpartition("-")[2])
    methods = [
        {"default": keys["hard", 16], "tuned": keys["hard", 4]},
        {"default": keys["in_batch", 0], "tuned": keys["in_batch", 0]},  # not tuned
    ]
    (folder.root / "tuning.json").write_text(json.dumps({"methods": methods}))
    page = show(write_report(load_results(folder.root), tmp_path / "report"), "#cost")
    said = page.locator("[data-arrows]")
    assert said.get_attribute("data-arrows") == "1"
    assert "61.10 to 64.10" in said.inner_text()
    marks = page.locator("#cost-body svg .mark-rule.role-mark line")
    assert marks.count() == 1
    ends = {n: float(marks.get_attribute(n)) for n in ("x2", "y2")}
    assert ends["x2"] != 0  # the tuned cells cost more
    assert ends["y2"] != 0
