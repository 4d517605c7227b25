"""Results folders, written by the same functions that write them in a run."""

import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.figures.pictures import pictures, render
from nsbench.analysis.read.load import Results
from nsbench.analysis.tables.scores import csv_pieces
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import canonical_json, content_key, describe_choice, pretty_json
from nsbench.benchmarks.records import (
    DIFFICULTY_COLUMNS,
    CellPaths,
    ResultsFolder,
    RunRecord,
    Score,
    read_json,
    scores_csv,
    write_record,
)

EVIL = '</script><script>window.evil = 1</script><img src=x onerror="window.evil=1">'
TASKS = ("STS12", "STS13", "planted-sts")
SAMPLERS = ("in_batch", "random", "hard")
AUGMENTATIONS = ("none", "feature_cutoff")
EFFECT = {"in_batch": 0.0, "random": -0.02, "hard": 0.03, "no_training": -0.1}


def make_cell(
    sampler: str = "in_batch", augmentation: str = "none", seed: int = 0, **params: Any
) -> dict[str, Any]:
    view = [{"name": augmentation, "params": {"rate": 0.2} if augmentation != "none" else {}}]
    cell: dict[str, Any] = {
        "sampler": {"name": sampler, "params": params},
        "augmentation": {"view1": view, "view2": view},
        "objective": {"name": "info_nce", "params": {"temperature": 0.05}},
        "candidates": {"name": "in_batch", "params": {}},
        "regime": {"name": "unsupervised", "params": {}},
        "encoder": {"name": "static", "params": {"layers": 0}},
        "data": {"name": "planted", "params": {"rows": 100}},
        "budget": {"steps": 20, "batch_size": 8},
        "evaluation": {"tasks": list(TASKS)},
        "seed": seed,
    }
    cell["labels"] = {
        a: describe_choice(cell[a])
        for a in ("sampler", "objective", "candidates", "regime", "encoder", "data")
    } | {"augmentation": augmentation}
    return cell


def true_score(cell: Mapping[str, Any], task: str) -> float:
    """In [0, 1]: an effect of the sampler, a little of everything else, the same at every call."""
    text = json.dumps([cell["sampler"], cell["augmentation"], cell["seed"], task])
    luck = np.random.default_rng(int(content_key(text), 16) % 2**32).normal(scale=0.004)
    shared = 0.01 * np.sin(cell["seed"])
    return float(0.6 + EFFECT.get(cell["sampler"]["name"], 0.0) + shared + luck)


def write_cell(
    folder: ResultsFolder,
    cell: dict[str, Any],
    *,
    status: Any = "done",
    tasks: tuple[str, ...] = TASKS,
    scores: Mapping[str, float] | None = None,
    digests: bool = False,
) -> CellPaths:
    """Write a cell; without digests, as older versions did, a test may change its files."""
    key = content_key(cell)
    paths = folder.cell(cell["sampler"]["name"], key)
    paths.folder.mkdir(parents=True)
    write_atomically(paths.cell, canonical_json(cell))
    if status == "done":
        values = scores if scores is not None else {t: true_score(cell, t) for t in tasks}
        rows = [
            Score(t, "test", "default", "cosine_spearman", v, 100, True) for t, v in values.items()
        ]
        rows += [Score("geometry", "test", "default", "uniformity", -2.0, 100, False)]
        rows += [
            Score(task, "test", "STS12", f"{how}_{k}", 0.5 + k / 100, 100, False)
            for task, how, numbers in (
                ("frequent_tokens", "without", (0, 4, 16)),
                ("first_dimensions", "first", (4, 16)),
            )
            for k in numbers
        ]
        write_atomically(paths.scores, scores_csv(rows))
        difficulty_table(cell).to_parquet(paths.difficulty)
    record = RunRecord(
        key=key,
        cell=cell,
        status=status,
        reason="" if status == "done" else f"{status} <b>because</b>",
        traceback='Traceback: "</script><script>alert(1)</script>"' if status == "failed" else "",
        cost={"steps": 20, "tokens": 1000, "passes_anchor": 160, "passes_positive": 160},
        alarms=[{"name": "collapse", "value": 0.1, "limit": 0.2, "text": "rank < 2"}]
        if cell["sampler"]["name"] == "hard"
        else [],
        data={"digest": "abc", "rows": 100},
        evaluation={"random_pairs": [0, 1, 2 + cell["seed"], 1]},
        seconds={"train": 1.5, "total": 2.0 + 0.1 * cell["seed"]},
        environment={"versions": {"torch": "2.13.0"}, "device": "cpu"},
        finished="2026-01-01T00:00:00Z",
    )
    if digests:
        write_record(paths, record)
    else:
        write_atomically(paths.record, pretty_json(record.plain()))
    return paths


def difficulty_table(cell: Mapping[str, Any]) -> pd.DataFrame:
    shift = EFFECT.get(cell["sampler"]["name"], 0.0)
    rows = []
    for step in (0, 5, 10, 20):
        for quantity, level in {
            "chosen_similarity": 0.4 + 5 * shift - 0.01 * step,
            "chosen_percentile": 0.5 - 5 * shift,
            "margin": 0.3 + 0.01 * step,
            "effective_negatives": 20.0 - step / 4,
            "positive_similarity": 0.9,
            **({"probe_uniformity": -1.0 - step / 10} if step % 10 == 0 else {}),
            "false_negative": float("nan") if cell["seed"] == 1 else 0.01,
        }.items():
            value = level + 0.005 * cell["seed"]
            quantiles = [value + d for d in (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3)]
            rows.append((step, quantity, value, 0.1, *quantiles, 64))
    return pd.DataFrame(rows, columns=list(DIFFICULTY_COLUMNS))


def write_difficulty(
    paths: CellPaths, steps: Mapping[int, Mapping[str, tuple[float, float]]]
) -> None:
    """Write ``difficulty.parquet`` from mean and count of each quantity by step."""
    empty = dict.fromkeys(DIFFICULTY_COLUMNS, float("nan"))
    rows = [
        empty | {"step": step, "quantity": name, "mean": mean, "count": count}
        for step, values in steps.items()
        for name, (mean, count) in values.items()
    ]
    pd.DataFrame(rows).to_parquet(paths.difficulty)


def change_record(paths: CellPaths, **fields: Any) -> None:
    """Replace fields of the stored record of a cell, as a version without digests wrote it."""
    before = {k: v for k, v in read_json(paths.record).items() if k not in ("files", "digest")}
    write_atomically(paths.record, json.dumps(before | fields))


def table_of(material: Any, name: str) -> tuple[pd.DataFrame, str]:
    """Table and SVG of the only picture of a figure."""
    ((_, _, csv),) = pictures(material, [name])
    return pd.read_csv(io.StringIO(csv)), render(name, csv, "svg").decode()


def scores_of(results: Results) -> pd.DataFrame:
    """``scores.csv`` of a folder, as pandas reads it."""
    text = "".join(csv_pieces(results))
    return pd.read_csv(io.StringIO(text), dtype={"key": "str"}, low_memory=False)


def write_matrix(
    folder: ResultsFolder, cells: Iterable[dict[str, Any]], name: str = "tiny", **config: Any
) -> None:
    listed = [{"key": content_key(c), "folder": "", "cell": c} for c in cells]
    folder.root.mkdir(parents=True, exist_ok=True)
    folder.write_matrix(name, {"seeds": [0, 1]} | config, listed)


def all_cells(seeds: int = 3) -> list[dict[str, Any]]:
    cells = [make_cell("no_training", "none", s) for s in range(seeds)]
    return cells + [
        make_cell(s, a, seed) for s in SAMPLERS for a in AUGMENTATIONS for seed in range(seeds)
    ]


def write_results(
    root: Path, seeds: int = 3, leave_out: Callable[[dict[str, Any]], bool] = lambda cell: False
) -> Path:
    """A complete folder, less the cells that ``leave_out`` names."""
    results = ResultsFolder(root)
    cells = all_cells(seeds)
    write_matrix(results, cells)
    for cell in cells:
        if not leave_out(cell):
            write_cell(results, cell)
    return root


def evil_folder(tmp_path: Path, name: str = "evil") -> Path:
    """Every text that a results folder can carry tries to break out of the page."""
    folder = ResultsFolder(tmp_path / name)
    folder.root.mkdir()
    for seed in range(2):
        for label in ("in_batch", EVIL):
            cell = make_cell("in_batch", "none", seed)
            cell["labels"] |= {"sampler": label, "augmentation": EVIL, "data": EVIL}
            write_cell(folder, cell | {"variant": label}, scores={EVIL: 0.5, "STS12": 0.6 + seed})
    write_cell(folder, make_cell("random", "none", 0), status="failed")
    (folder.runs / EVIL.replace("/", "_")).write_text("")
    write_matrix(folder, [], name=EVIL, description=EVIL)
    return folder.root


def made_choices(weights: Mapping[int, float]) -> pd.DataFrame:
    """A ``choices.parquet``: two anchors, first and last step, negatives by number with weights."""
    rows = []
    for step in (0, 19):
        for place, anchor in enumerate((0, 4)):
            for rank, (candidate, weight) in enumerate(weights.items()):
                rows.append(
                    {
                        **{"step": step, "place": place, "anchor": anchor, "candidates": 7},
                        **{"candidate": candidate, "weight": weight, "positive": 1},
                        **{"positive_similarity": 0.9, "similarity": 0.5 - step / 100},
                        **{"rank": rank, "same_meaning": int(candidate == 2)},
                        "above_in_guide": -1,
                    }
                )
    return pd.DataFrame(rows)


CHOSEN_TEXTS = {
    0: "A man plays the guitar",
    1: "a man plays a guitar",
    2: "the stock market fell",
    3: "A man plays the guitar!",
    4: "a cat sleeps",
}


def write_choices(paths: CellPaths, weights: Mapping[int, float]) -> None:
    """Give a cell choices with texts, as the present version writes them."""
    made_choices(weights).to_parquet(paths.choices)
    texts = {"text": list(CHOSEN_TEXTS), "content": list(CHOSEN_TEXTS.values())}
    pd.DataFrame(texts).to_parquet(paths.texts)
    change_record(paths, difficulty_version=2)
