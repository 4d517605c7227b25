"""The shipped matrix of all methods, small, in fp32 and bf16: none fails, gradients are finite."""

import csv
import math
from pathlib import Path
from typing import Any

import pytest

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.matrix.config import load_config, parse_config
from nsbench.benchmarks.matrix.expand import expand
from nsbench.benchmarks.records import ResultsFolder, read_record
from nsbench.benchmarks.runs.executors.base import plan_jobs, run_job

SIZES = {
    "communities": {"size": 4},
    "cluster_negatives": {"clusters": 4},
    "whole_corpus": {"k": 8},
    "pair_consistency": {"places": 100},
    "matryoshka": {"dimensions": [[8, 4]]},
}
"""Parameters that fit a few hundred rows and 16 dimensions."""


def written(folder: Path) -> dict[str, Any]:
    """Files of three kinds, made of planted sentences, and a test."""
    plain = datasets.make("planted", rows=240)()
    pairs = [
        (plain.texts[a], plain.texts[p], int(plain.meaning[a]) % 40)
        for a, p in zip(plain.anchor, plain.positive, strict=True)
    ]
    tables = {
        "labelled": [("text", "label"), *((a, label) for a, _, label in pairs)],
        "graded": [
            ("sentence1", "sentence2", "score"),
            *((a, p, row % 6) for row, (a, p, _) in enumerate(pairs)),
        ],
        "plain": [("text",), *((p,) for _, p, _ in pairs)],
    }
    for name, rows in tables.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    return {name: {"name": "file", "path": str(folder / f"{name}.csv")} for name in tables}


def small(folder: Path, precision: str) -> Any:
    """The shipped matrix with local data, a small encoder and few steps."""
    raw = load_config("all-methods").model_dump(mode="json", by_alias=True)
    files = written(folder)
    labelled = files["labelled"] | {"views": "label"}
    raw["data"] = [{"name": "negated", "data": labelled}]
    raw["encoders"] = [{"name": "static", "dimension": 16}]
    raw["budget"] |= {"steps": 3, "batch_size": 16, "precision": precision}
    raw["difficulty"] = {"every": 1}
    task = {"name": "mine", "kind": "sts", "path": files["graded"]["path"]}
    raw["evaluation"] = {"tasks": [task]}
    for part in (raw, *raw["also"]):
        for axis in ("samplers", "objectives"):
            part[axis] = [
                e
                if (n := e if isinstance(e, str) else e["name"]) not in SIZES
                else {"name": n, **({} if isinstance(e, str) else e), **SIZES[n]}
                for e in part[axis]
            ]
        kinds = {str(e.get("views") or e["name"]) for e in part.get("data", [])}
        if "graded" in kinds:
            part["data"] = [files["graded"] | {"views": "graded"}]
        if "mixture" in kinds:
            part["data"] = [{"name": "mixture", "parts": [files["plain"], labelled]}]
    return parse_config(raw)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_method_runs_in_one_matrix_with_finite_gradients(
    tmp_path: Path, precision: str
) -> None:
    planned = expand(small(tmp_path, precision))
    assert len(planned) > 120
    jobs = plan_jobs(planned, ResultsFolder(tmp_path / "out"), "cpu", 1)
    wrong = {}
    for job in jobs:
        run_job(job)
        record = read_record(job.paths)
        name = f"{job.planned.cell}, {job.planned.cell.objective}, {job.planned.cell.candidates}"
        if record.status != "done":
            wrong[name] = f"{record.status}: {record.reason}"
        elif job.planned.cell.budget.steps and record.cost.get("steps"):
            with job.paths.training.open() as file:
                rows = list(csv.DictReader(file))
            if not all(math.isfinite(float(r[k])) for r in rows for k in ("loss", "gradient_norm")):
                wrong[name] = f"not finite: {rows}"
    assert wrong == {}
