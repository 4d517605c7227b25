import subprocess
import sys
from pathlib import Path

import pytest

from tools.calibration import DESIGNS, Design, coverage, detectable, placed, said, verdict_shares

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["7 methods, 5 seeds", "very unequal noise", "3 seeds"])
def test_false_verdicts_are_at_the_nominal_level(name):
    shares = verdict_shares(DESIGNS[name], repetitions=200, seed=0)
    # Nominal 5 %; the standard error over 200 matrices is 1.5 %.
    assert shares["false, baseline"] <= 0.05 + 0.03
    assert shares["false, any"] <= 0.05 + 0.03
    assert shares["equivalent at the margin"] <= 0.05 + 0.03
    # 95 % is promised of all intervals at once; one alone holds more often, by construction.
    assert shares["covers, all at once"] == pytest.approx(1 - shares["false, any"])
    assert shares["covers, one alone"] > max(shares["covers, all at once"], 0.95)
    assert shares["false, uncorrected"] > 0.1  # the simulation can tell a bad test from a good one
    assert shares["power"] > shares["power, Holm"]


def test_intervals_cover_what_they_say():
    shares = coverage(Design(), repetitions=200, seed=0)
    assert 0.93 <= shares["t"] <= 0.97
    assert shares["plain bootstrap"] < 0.9


@pytest.mark.parametrize("seeds", [3, 5])
def test_smallest_detectable_is_right_to_within_a_fifth(seeds):
    answer = detectable(Design(seeds=seeds, unequal=0.0), repetitions=600, seed=0)
    assert answer["reported"] == pytest.approx(answer["true"], rel=0.1)
    assert answer["within_20"] > answer["within_20_unpooled"] + 0.05


def test_with_twenty_methods_nearly_every_matrix_reports_it_right():
    answer = detectable(Design(methods=20, unequal=0.0), repetitions=300, seed=0)
    assert (
        answer["within_20"] >= 0.9
    )  # its spread holds the baseline's own noise: 11 % over matrices, not 8 %


def test_the_seed_decides_the_simulation():
    first = verdict_shares(Design(), repetitions=8, seed=0)
    assert verdict_shares(Design(), repetitions=8, seed=0) == first
    assert verdict_shares(Design(), repetitions=8, seed=1) != first


def test_the_command_prints_its_table_and_puts_it_into_a_document(tmp_path):
    document = tmp_path / "page.md"
    document.write_text("above\n<!-- table: calibration -->\nold\n<!-- end -->\nbelow\n")
    command = [sys.executable, "-m", "tools.calibration", "--repetitions", "2", "--into", document]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    table = done.stdout.strip()
    assert table.splitlines()[0] == f"|  | {' | '.join(DESIGNS)} |"
    assert len(table.splitlines()) == 2 + 8 + 4
    shares = verdict_shares(DESIGNS["3 seeds"], repetitions=2, seed=0)
    power = next(line for line in table.splitlines() if line.startswith("| power |"))
    assert power.split(" | ")[4] == f"{shares['power']:.3f}"
    command_said = said(repetitions=2, seed=0, intervals=False)[0]
    assert document.read_text() == (
        f"above\n<!-- table: calibration -->\n{command_said}\n\n{table}\n<!-- end -->\nbelow\n"
    )


def test_a_document_without_a_place_is_refused():
    with pytest.raises(ValueError, match="calibration"):
        placed("no markers", ["|"])


def test_the_documented_table_has_the_rows_and_designs_of_the_tool():
    page = (ROOT / "docs" / "leaderboard.md").read_text("utf-8")
    block = page.partition("<!-- table: calibration -->\n")[2].partition("<!-- end -->")[0]
    head, *rows = [line for line in block.splitlines() if line.startswith("|")]
    assert head == f"|  | {' | '.join(DESIGNS)} |"
    names = [row.split(" | ")[0].strip("| ") for row in rows[1:]]
    shares = verdict_shares(Design(), repetitions=1, seed=0)
    answer = detectable(Design(), repetitions=1, seed=0)
    assert names == [*shares, *(f"detectable, {k}" for k in answer)]
