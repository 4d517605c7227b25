"""Published numbers as data, verdicts, shipped suites, and matrices shortened for a trial."""

import json
from pathlib import Path
from typing import Any

import pytest
from running import invoked

from nsbench.benchmarks.augmentations import augmentations
from nsbench.benchmarks.matrix.config import load_config, parse_config
from nsbench.benchmarks.matrix.expand import _choices, _views
from nsbench.benchmarks.matrix.reproduce import (
    AVERAGE,
    STS7,
    PaperRow,
    compare,
    compared,
    load_paper,
    papers,
    scores_of,
    table_csv,
)
from nsbench.benchmarks.matrix.scale import scaled
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.regimes import regimes
from nsbench.samplers import samplers

SUITES = (
    "consert-unsup",
    "consert-sup",
    "consert-fewshot",
    "consert-temperature",
    "consert-batch-size",
    "simcse-unsup",
    "simcse-sup",
    "esimcse",
    "sampler-x-augmentation",
)
RETRIEVAL = (
    "scifact-negatives",
    "nfcorpus-negatives",
    "fiqa-negatives",
    "msmarco-negatives",
    "nq-negatives",
)


def labels_of(suite: str) -> set[str]:
    """How a suite's samplers are called in records."""
    return {str(choice) for choice in _choices(samplers, load_config(suite).samplers)}


ROW = PaperRow("made", {}, {AVERAGE: 70.0})


@pytest.mark.parametrize("suite", SUITES)
def test_shipped_suites_name_what_there_is(suite: str) -> None:
    settings = load_config(suite)
    assert settings.name == suite
    assert settings.description.endswith("?") or settings.description.endswith(".")
    assert _choices(samplers, settings.samplers)
    assert _choices(objectives, settings.objectives) or not settings.objectives
    assert _choices(regimes, settings.regimes)
    assert [pair for entry in settings.augmentations for pair in _views(entry)]
    encoder = settings.encoders[0]
    assert isinstance(encoder, dict)
    assert encoder["name"] == "bert-base-uncased"


def test_consert_grid_is_whole() -> None:
    pairs = [p for entry in load_config("consert-unsup").augmentations for p in _views(entry)]
    names = {(one[0].name, two[0].name) for one, two in pairs}
    assert len(names) == 25
    assert names == {(a, b) for a, _ in names for _, b in names}
    assert {a for a, _ in names} <= set(augmentations.names())


@pytest.mark.parametrize("suite", papers())
def test_published_numbers_are_whole_and_sourced(suite: str) -> None:
    paper = load_paper(suite)
    assert suite in (*SUITES, *RETRIEVAL)
    assert paper.title
    assert paper.sources
    assert paper.encoder == "bert-base-uncased" or suite in RETRIEVAL
    labels = labels_of(suite)
    for row in paper.rows:
        assert row.source
        assert row.match
        tasks = load_config(suite).evaluation.tasks if suite in RETRIEVAL else (*STS7, AVERAGE)
        assert set(row.scores) <= set(tasks)
        assert suite not in RETRIEVAL or row.match["sampler"] in labels, row.name
        assert all(0 < v < 100 for v in row.scores.values())
        if set(row.scores) == {*STS7, AVERAGE}:
            mean = sum(row.scores[t] for t in STS7) / 7
            assert row.scores[AVERAGE] == pytest.approx(mean, abs=0.012), row.name


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ([], "not run"),
        ([71.0], "one seed"),
        ([70.9, 71.1, 71.0], "above"),
        ([68.9, 69.1, 69.0], "below"),
        ([69.0, 71.5, 71.0], "within spread"),
    ],
)
def test_verdicts(ours: list[float], verdict: str) -> None:
    assert compared(ROW, AVERAGE, 70.0, ours).verdict == verdict


def test_interval_is_that_of_one_further_run() -> None:
    # Two seeds 1 apart: sd 0.7071, t(0.975, 1) = 12.706: half width 12.706 * sqrt(0.5 + 0.25).
    inside, outside = 70 + 11.0, 70 + 11.01
    assert compared(ROW, AVERAGE, 70.0, [inside - 0.5, inside + 0.5]).verdict == "within spread"
    assert compared(ROW, AVERAGE, 70.0, [outside - 0.5, outside + 0.5]).verdict == "above"


def test_a_published_spread_is_used() -> None:
    row = PaperRow("made", {}, {AVERAGE: 70.0}, sd={AVERAGE: 2.0})
    assert compared(row, AVERAGE, 70.0, [70.9, 71.1, 71.0]).verdict == "within spread"


def cell(folder: Path, name: str, seed: int, value: float, **labels: str) -> None:
    """A finished cell's files, as far as the comparison reads them."""
    at = folder / "runs" / f"{name}-{name}{seed}"
    at.mkdir(parents=True)
    axes = {"sampler": "in_batch", "augmentation": "none", "encoder": "tiny"} | labels
    plain = {
        "labels": axes,
        "seed": seed,
        "budget": {"steps": 7, "batch_size": 96},
        "regime": {"name": "unsupervised"},
        "limit": 0,
    }
    record = {"key": f"{name}{seed}", "cell": plain, "status": "done"}
    (at / "cell.json").write_text(json.dumps(plain))
    (at / "record.json").write_text(json.dumps(record))
    lines = ["task,split,subset,metric,value,n_examples,main"]
    lines += [f"{t},test,default,cosine_spearman,{value / 100},10,True" for t in STS7]
    lines += ["STS12,test,default,cosine_pearson,0.99,10,False"]
    (at / "scores.csv").write_text("\n".join(lines) + "\n")


def test_our_cells_stand_beside_the_papers_rows(tmp_path: Path) -> None:
    for seed, value in ((1, 63.0), (2, 64.0), (3, 65.0)):
        cell(tmp_path, "none", seed, value)
    cell(tmp_path, "best", 1, 90.0, augmentation="feature_cutoff | token_shuffle")
    folder = ResultsFolder(tmp_path)
    report = compare(load_paper("consert-unsup"), folder)
    found = {(r.row, r.score): r for r in report.rows}
    none = found["None x None", AVERAGE]
    assert (none.ours, none.seeds, none.verdict) == (pytest.approx(64.0), 3, "within spread")
    assert none.sd == pytest.approx(1.0)
    best = found["ConSERT-base, feature cutoff x shuffle", "STS12"]
    assert (best.ours, best.verdict) == (pytest.approx(90.0), "one seed")
    assert found["BERT-base, untrained", AVERAGE].verdict == "not run"
    assert any("the paper trains bert-base-uncased, ours is tiny" in n for n in report.notes)
    assert any("ours trained 7 steps, the suite has 9291" in n for n in report.notes)
    lines = table_csv(report).splitlines()
    assert len(lines) == 1 + len(report.rows)
    assert "None x None,average,63.84,64.00,1.00,3,within spread" in lines


def test_paths_into_the_cell_match(tmp_path: Path) -> None:
    from nsbench.benchmarks.matrix.reproduce import _matches

    cell(tmp_path, "one", 1, 50.0)
    ((_, record),) = ResultsFolder(tmp_path).records()[0]
    assert _matches(record, {"budget.batch_size": "96", "regime.name": "unsup*", "limit": "0"})
    assert not _matches(record, {"budget.batch_size": "9"})
    assert not _matches(record, {"budget.nothing.there": "1"})


def test_a_paper_may_name_metric_and_split(tmp_path: Path) -> None:
    paths = ResultsFolder(tmp_path).cell("in_batch", "0" * 12)
    paths.folder.mkdir(parents=True)
    lines = ["task,split,subset,metric,value,n_examples,main"]
    lines += ["M,dev,default,ndcg_at_10,0.3,9,True", "M,dev,default,mrr_at_10,0.26,9,False"]
    paths.scores.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert scores_of(paths) == {}
    assert scores_of(paths, metric="mrr_at_10", split="dev") == {"M": pytest.approx(26.0)}
    paper = load_paper("msmarco-negatives")
    assert (paper.metric, paper.split) == ("mrr_at_10", "dev")


def test_scores_need_all_seven_for_an_average(tmp_path: Path) -> None:
    cell(tmp_path, "one", 1, 50.0)
    (paths,) = ResultsFolder(tmp_path).folders()
    assert scores_of(paths)[AVERAGE] == pytest.approx(50.0)
    text = paths.scores.read_text().replace("SICK-R", "Other")
    paths.scores.write_text(text)
    assert AVERAGE not in scores_of(paths)


def test_a_suite_without_published_numbers_is_named() -> None:
    with pytest.raises(ValueError, match=r"no published numbers .* Did you mean 'consert-unsup'"):
        load_paper("consert-unsu")


def test_scale_shortens_every_budget_and_nothing_else() -> None:
    settings = load_config("consert-sup")
    short = scaled(settings, 0.01)
    assert short.name == "consert-sup-x0.01"
    assert short.budget.steps == 232
    assert short.evaluation.dev_every == 2
    assert short.difficulty.every == 2
    joint = short.regimes[2]
    assert isinstance(joint, dict)
    assert joint["steps"] == 98
    assert short.budget.batch_size == settings.budget.batch_size
    assert short.seeds == settings.seeds
    assert len(short.augmentations) == len(settings.augmentations)


def test_scale_never_reaches_zero_and_keeps_lists(small: Any) -> None:
    raw = small(budget={"steps": [6, 600], "batch_size": 16})
    assert scaled(parse_config(raw), 0.01).budget.steps == [1, 6]
    for bad in (0, -1, 2, float("nan")):
        with pytest.raises(ValueError, match=r"factor must be in \(0, 1\]"):
            scaled(parse_config(raw), bad)


def test_command_line_scales_and_reproduces(tmp_path: Path, small: Any) -> None:
    empty = invoked("reproduce", "consert-unsup", "--out", tmp_path / "none")
    assert "not run" in empty.output
    target = tmp_path / "table.csv"
    cell(tmp_path, "none", 1, 63.0)
    done = invoked("reproduce", "consert-unsup", "--out", tmp_path, "--csv", target)
    assert "one seed" in done.output
    assert target.read_text().startswith("row,score,paper,ours")
    planned = invoked("run", "smoke", "--scale", "0.5", "--dry-run", "--no-probe")
    assert "60 steps" in planned.output  # 6 cells of 10
