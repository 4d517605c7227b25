"""Nothing that is shown acts on a terminal, and nothing in a CSV acts on a spreadsheet."""

import io
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import change_record, make_cell, write_cell
from rich.table import Table
from running import nsbench

from nsbench.benchmarks.cli.console import SafeConsole, escaped
from nsbench.benchmarks.keys import spreadsheet_plain, spreadsheet_safe, visible
from nsbench.benchmarks.records import ResultsFolder, Score, claims, scores_csv
from nsbench.benchmarks.runs.cell_log import cell_log

EVIL = "x\x1b[2J\x1b]0;title\x07\u202eabc\u2066\x9b31m\x00\ud83d"
ACTS = ("\x1b", "\x07", "\u202e", "\u2066", "\x9b", "\x00", "\ud83d")
TEXTS = st.text(st.characters(), max_size=12)


def test_an_escape_is_shown_and_does_not_act() -> None:
    shown = visible(EVIL)
    assert not any(sign in shown for sign in ACTS)
    assert shown.startswith("x\\x1b[2J\\x1b]0;title\\x07\\u202eabc\\u2066\\x9b31m\\x00\\ud83d")
    assert visible("a\tb\nc ü 你 🙂") == "a\tb\nc ü 你 🙂"


@settings(max_examples=100)
@given(TEXTS)
def test_any_text_that_is_shown_can_be_written_and_is_shown_alike_again(text: str) -> None:
    assert visible(visible(text)) == visible(text)
    visible(text).encode()


def test_the_console_escapes_what_is_printed_in_any_way() -> None:
    out = SafeConsole(file=io.StringIO(), width=300)
    table = Table("name", title=EVIL)
    table.add_row(escaped(EVIL))
    out.print(table)
    out.print(EVIL, markup=False)
    out.print(f"[red]{escaped(EVIL)}[/]")
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("\\x1b[2J") == 4
    assert not any(sign in text for sign in ACTS)


def test_a_log_is_shown_with_cat(tmp_path: Path) -> None:
    evil = EVIL.replace("\ud83d", "")  # which pytest itself could not pass on from its workers
    with cell_log(tmp_path / "log.txt", evil):
        logging.getLogger("nsbench.cell").warning("%s", evil)
    text = (tmp_path / "log.txt").read_bytes().decode()
    assert text.count("\\x1b[2J") == 2
    assert not any(sign in text for sign in ACTS)


def test_commands_show_names_of_records_and_claims_as_escapes(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "out")
    evil = EVIL.replace("\ud83d", "")
    for seed in range(2):
        cell = make_cell("in_batch", "none", seed)
        cell["labels"]["augmentation"] = evil
        paths = write_cell(folder, cell, scores={evil: 0.5})
        if seed:
            change_record(paths, status="failed", reason=evil)
    paths = folder.cell("hard", "0" * 12)
    claim = claims.acquire(paths.claim)
    raw = paths.claim.read_text().replace(os.uname().nodename[:64], "\\u001b[2J")
    paths.claim.write_text(raw)
    for command in ("status", "leaderboard", "retry"):
        done = nsbench(command, folder.root)
        text = done.stdout + done.stderr
        assert "Traceback" not in text, text
        assert [sign for sign in ACTS if sign in text] == [], (command, ascii(text))
        assert "\\x1b" in text
    claim.release()


@settings(max_examples=200)
@given(TEXTS | st.builds("".join, st.lists(st.sampled_from("'=+-@\t\rx"), max_size=5)))
def test_a_text_of_a_csv_is_no_formula_and_comes_back(text: str) -> None:
    assert spreadsheet_safe(text)[:1] not in ("=", "+", "-", "@", "\t", "\r")
    assert spreadsheet_plain(spreadsheet_safe(text)) == text


@pytest.mark.parametrize("name", ["=cmd|'/C calc'!A0", "@x", "'=1", "'quoted'", "+1", "01", "-"])
def test_a_task_comes_back_from_every_file_by_its_name(tmp_path: Path, name: str) -> None:
    import csv

    from nsbench.analysis.read.load import load_results
    from nsbench.analysis.tables.leaderboard import make_leaderboard
    from nsbench.analysis.tables.write import write_leaderboard
    from nsbench.benchmarks.records.packing import pack, unpack

    folder = ResultsFolder(tmp_path / "out")
    paths = write_cell(folder, make_cell(), scores={name: 0.5})
    assert paths.scores.read_text() == scores_csv([*_scores(folder)])
    pack(folder.root, tmp_path / "packed")
    unpack(tmp_path / "packed", tmp_path / "again")
    (again,) = ResultsFolder(tmp_path / "again").folders()
    assert again.scores.read_bytes() == paths.scores.read_bytes()
    for root in (folder.root, tmp_path / "again"):
        results = load_results(root)
        assert set(results.scores["task"]) >= {name}
        write_leaderboard(results, make_leaderboard(results), tmp_path / "board")
        for file in ("leaderboard.csv", "scores.csv"):
            with (tmp_path / "board" / file).open(newline="") as lines:
                for row in csv.reader(lines):
                    texts = [t for t in row if not _is_number(t)]
                    assert not [t for t in texts if t[:1] and t[0] in "=+-@\t\r"]


def _is_number(text: str) -> bool:
    try:
        return text not in ("+1", "-") and bool(repr(float(text)))
    except ValueError:
        return False


def _scores(folder: ResultsFolder) -> list[Score]:
    from nsbench.analysis.read.scores import ScoreReader

    (paths,) = folder.folders()
    return [Score(*row) for row in ScoreReader().read(paths)]
