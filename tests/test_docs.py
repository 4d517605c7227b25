"""The documentation: commands that work, pictures of the real samplers, no dead links."""

import ast
import os
import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_results import write_results
from running import python

from nsbench.analysis.read.leakage import TABLE_COLUMNS
from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables import (
    agreement,
    alarms,
    axes,
    boards,
    predictors,
    transfer,
    tuned,
    views,
)
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.benchmarks.matrix.config import parse_config, suites
from nsbench.benchmarks.matrix.tune_file import boards as shipped_boards
from nsbench.benchmarks.records import (
    CHOICE_COLUMNS,
    DIFFICULTY_COLUMNS,
    HISTOGRAM_COLUMNS,
    PROBE_COLUMNS,
    SCORE_COLUMNS,
)
from nsbench.benchmarks.records.local_task import KINDS, local_task
from nsbench.benchmarks.records.negatives import NEGATIVE_COLUMNS
from nsbench.benchmarks.records.record import QUERY_COLUMNS, SEEN_COLUMNS, TEXT_COLUMNS
from nsbench.samplers import samplers
from tools import component_pages, findings, reference, summary
from tools.columns import COLUMNS
from tools.contributing import rewrite, rows
from tools.sampler_pages import SHOWN, fixed_row, weights, write_pages

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def consoles(text: str) -> list[str]:
    """The commands of all console blocks, lines that go on joined."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [
        line.removeprefix("$ ").partition(" #")[0].strip() for line in lines if line[:2] == "$ "
    ]


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    heads = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.M)
    words = (re.sub(r"[^\w\- ]", "", head.replace("`", "").lower()) for head in heads)
    return {"-".join(w.split(" ")) for w in words}


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "results").glob("*.md")]
    found = 0
    for path in [*pages, *(ROOT / "examples").rglob("*.md")]:
        for target in re.findall(r"\]\(<?([^)>\s]+)", path.read_text("utf-8")):
            if "://" in target or target.startswith("mailto:"):
                continue
            name, _, anchor = target.partition("#")
            there = path.parent / name if name else path
            assert there.exists(), f"{path.name} links to {target}"
            if anchor and there.suffix == ".md":
                assert anchor in anchors(there), f"{path.name} links to {target}"
            found += 1
    assert found > 60


def test_every_extra_of_the_docs_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = {
        name
        for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
        for found in re.findall(
            r"extras? `(\w+)`|(?:nsbench|\.)\[(\w+(?:,\w+)*)\]'", path.read_text("utf-8")
        )
        for name in "".join(found).split(",")
    }
    assert len(named) > 3
    assert named <= set(project["optional-dependencies"])


def test_every_command_of_the_docs_exists() -> None:
    from nsbench.analysis.cli.main import add_commands
    from nsbench.benchmarks.cli import main as cli

    cli.add_groups()
    add_commands(cli.app)
    known = {
        c.name or c.callback.__name__.strip("_").replace("_", "-")  # type: ignore[union-attr]
        for c in cli.app.registered_commands
    }
    known |= {g.name for g in cli.app.registered_groups}
    found = 0
    for path in [*DOCS.glob("*.md"), ROOT / "examples" / "plugin" / "README.md"]:
        for command in consoles(path.read_text("utf-8")):
            words = shlex.split(command)
            if words and words[0] == "nsbench" and not words[1].startswith("-"):
                assert words[1] in known, f"{path.name}: {command}"
                found += 1
    assert found > 20


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("leader", "leaderboard"),
        ("list samp", "samplers"),
        ("list fig", "figures"),
        ("run smo", "smoke"),
        ("doctor my", "my.toml"),
        ("prefetch deeper/", "deeper/x.toml"),
    ],
)
def test_shells_complete_commands_kinds_and_matrices(
    line: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "my.toml").touch()
    (tmp_path / "deeper" / "x.toml").touch()
    monkeypatch.chdir(tmp_path)
    words = ["nsbench", *line.split()]
    settings = {"_NSBENCH_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words)}
    code = (
        "import sys; sys.argv = ['nsbench']; from nsbench.analysis.cli.main import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'pandas'} & set(sys.modules), 'a key press must be cheap'"
    )
    done = python("-c", code, env={**os.environ, **settings, "COMP_CWORD": str(len(words) - 1)})
    assert done.stdout.split() == [wanted], done.stderr


def test_matrix_of_the_quickstart_is_legal() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", (DOCS / "quickstart.md").read_text(), re.S)
    assert parse_config(tomllib.loads(block)).name == "mine"


def test_matrices_of_the_docs_are_legal() -> None:
    text = (DOCS / "evaluation.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    tables = [t for t in parse_config(tomllib.loads(block)).evaluation.tasks if t != "own"]
    assert {local_task(t).kind for t in tables} == set(KINDS)
    assert all(f"| `{kind}` |" in text for kind in KINDS)


def test_every_suite_has_its_question() -> None:
    text = (DOCS / "questions.md").read_text()
    assert all(f"`{name}`" in text for name in suites())


def test_the_reading_path_names_what_exists() -> None:
    text = (DOCS / "reading-the-code.md").read_text("utf-8")
    stops = re.findall(r"`([\w/]+\.py):(\w+)`", text)
    for path, name in stops:
        body = ast.parse((ROOT / path).read_text("utf-8")).body
        names = [n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        assert name in names, f"{path} has no {name}"
    assert len(stops) >= len(re.findall(r"^\d+\. ", text, re.M)) == 12


def test_the_list_of_rooms_is_up_to_date() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert rewrite(text) == text, "run `make report`"
    assert all(row.endswith(". |") for row in list(rows())[2:])


def test_files_of_the_recipes_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## Recipes")[2]
    named = re.findall(r"`((?:samplers|benchmarks|analysis|docs)/[\w./-]+)`", text)
    paths = [ROOT / name if "NAME" not in name else (ROOT / name).parent for name in named]
    assert len(paths) > 15
    assert [path for path in paths if not path.exists()] == []


@pytest.mark.slow
def test_the_quickstart_works_as_it_is_written(tmp_path: Path) -> None:
    text = (DOCS / "quickstart.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    (tmp_path / "mine.toml").write_text(block)
    ran = 0
    for command in consoles(text):
        words = shlex.split(command)
        if words[0] != "nsbench":
            continue  # the environment is there
        code = "from nsbench.analysis.cli.main import main; main()"
        done = python("-c", code, *words[1:], cwd=tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        ran += 1
    assert ran >= 9
    assert (tmp_path / "out" / "smoke" / "report.html").is_file()
    assert (tmp_path / "out" / "mined" / "README.md").is_file()


def test_pictures_show_what_the_samplers_take() -> None:
    similarity, weight = weights(samplers.make("semi_hard", margin=0.2))
    positive = float(fixed_row().similarity[0, 0])
    inside = (similarity < positive) & (similarity > positive - 0.2)
    np.testing.assert_array_equal(weight > 0, inside)
    _, weight = weights(samplers.make("hard", **SHOWN["hard"]))
    assert np.flatnonzero(weight).tolist() == list(range(10))
    _, weight = weights(samplers.make("oracle"))
    assert np.flatnonzero(weight == 0).tolist() == [0, 1, 2]
    _, weight = weights(samplers.make("mixed", **SHOWN["mixed"]))
    assert len(weight) > 40  # made ones stand beside those that were there


def test_every_sampler_has_a_page_and_a_picture(tmp_path: Path) -> None:
    """The stored pages are what the registry says today: run `make report`."""
    pages = write_pages(tmp_path, pictures=False)
    assert [p.stem for p in pages] == samplers.names()
    stored = DOCS / "samplers"
    for path in [*pages, tmp_path / "index.md"]:
        assert path.read_text() == (stored / path.name).read_text(), f"{path.name}: make report"
        if path.stem != "index" and samplers.entry(path.stem).attribute("trains", True):
            assert (stored / f"{path.stem}.svg").is_file()


@pytest.mark.parametrize("tool", [component_pages, reference], ids=lambda m: m.__name__)
def test_generated_pages_are_current(tool, tmp_path: Path) -> None:
    """The stored pages are what registries, models and results say today: run `make report`."""
    for path in tool.write_pages(tmp_path):
        name = path.relative_to(tmp_path)
        assert path.read_text() == (DOCS / name).read_text(), f"{name}: make report"


def test_the_page_of_findings_is_current() -> None:
    assert (DOCS / "findings.md").read_text() == findings.page(), "make report"


def test_the_page_of_the_summary_is_current() -> None:
    text = (DOCS / "summary.md").read_text()
    assert text == summary.page(), "make report"
    assert not re.search(r"(?<!!)\[[^\]]*\]\((?!https?:)", text)  # results/ is no part of the site


def test_a_summary_without_its_section_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Results\n\n## Other\n")
    with pytest.raises(ValueError, match="has no section 'Summary of the tuned boards'"):
        summary.page(tmp_path)


def addresses(names: list[str]) -> dict[str, list[str]]:
    """Pages by the address at which mkdocs puts them, letters of either case alike."""
    found: dict[str, list[str]] = {}
    for name in names:
        path = name.removesuffix(".md")
        address = path.removesuffix("index").strip("/") if path.endswith("index") else path
        found.setdefault(address.lower(), []).append(name)
    return found


def test_no_two_pages_have_one_address() -> None:
    names = [p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md")]
    assert {a: n for a, n in addresses(names).items() if len(n) > 1} == {}
    clash = addresses(["samplers.md", "samplers/index.md", "index.md"])
    assert clash == {"samplers": ["samplers.md", "samplers/index.md"], "": ["index.md"]}


def test_every_column_of_the_published_tables_is_explained() -> None:
    seen = set()
    for path in (ROOT / "results").glob("*/**/*.csv"):
        folder = path.parent.name
        names = [n for n in COLUMNS if n.split(" of ")[0] == f"tables/{path.name}"]
        if path.name.startswith("leaderboard"):
            axis = path.stem.removeprefix("leaderboard_") in axes.AXES.values()
            names = [n for n in COLUMNS if n.startswith("leaderboard")][axis : axis + 1]
        if folder not in ("figures", "timing") and names:
            told = set(COLUMNS[names[0]])
            found = set(pd.read_csv(path, nrows=0))
            open_ended = any(n.startswith(("(one per", "(axes)")) for n in told)
            if not open_ended:
                assert found <= told, path
            else:  # tasks and quantities, which have names of their own
                assert {n for n in told if not n.startswith("(")} & found, path
            seen.add(names[0])
    assert {"tables/bands.csv", "tables/false_negatives.csv", "tables/tuned.csv"} <= seen
    assert {"tables/false_negative_rates.csv", "tables/predictors.csv"} <= seen


def test_every_column_and_key_of_the_reference_is_explained(tmp_path: Path) -> None:
    results = load_results(write_results(tmp_path / "results"))
    board = make_leaderboard(results)
    told = COLUMNS["leaderboard.csv and leaderboard_samplers.csv"]
    assert set(board.rows.columns) - set(board.tasks) <= set(told)
    assert set(axes.COLUMNS) == set(COLUMNS["leaderboard_AXIS.csv"])
    for name, columns in (
        ("scores.csv of a cell", SCORE_COLUMNS),
        ("difficulty.parquet of a cell", DIFFICULTY_COLUMNS),
        ("histograms.parquet of a cell", HISTOGRAM_COLUMNS),
        ("probe.parquet of a cell", PROBE_COLUMNS),
        ("choices.parquet of a cell", (*CHOICE_COLUMNS, *SEEN_COLUMNS)),
        ("texts.parquet of a cell", TEXT_COLUMNS),
        ("negatives.parquet of packed results", ("folder", *NEGATIVE_COLUMNS)),
        ("queries.parquet of a cell", QUERY_COLUMNS),
        ("tables/alarms.csv", alarms.COLUMNS),
        ("tables/predictors.csv", predictors.COLUMNS),
        ("tables/agreement.csv", agreement.COLUMNS),
        ("tables/tuned.csv", tuned.COLUMNS),
        ("boards.csv of `nsbench boards`", boards.VERDICT_COLUMNS),
        ("difficulty.csv of `nsbench boards`", boards.PREDICTION_COLUMNS),
        ("transfer.csv of `nsbench boards`", transfer.COLUMNS),
        ("views.csv of `nsbench boards`", views.COLUMNS),
        ("leakage.csv", TABLE_COLUMNS),
    ):
        assert set(columns) == set(COLUMNS[name]), name
    for key, default, legal, meaning in reference.keys(reference.matrix_model()):
        assert key, default
        assert legal, key
        assert meaning, key


def test_every_shipped_board_is_in_the_page_on_boards() -> None:
    page = (ROOT / "docs" / "boards.md").read_text()
    assert [name for name in shipped_boards() if f"| `{name}` |" not in page] == []
