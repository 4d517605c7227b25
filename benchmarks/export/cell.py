"""A trained cell as a sentence-transformers folder whose card is written from its record.

Source: Mitchell et al. 2019, Model Cards for Model Reporting. https://arxiv.org/abs/1810.03993
"""

import json
from html import escape
from pathlib import Path
from typing import Any

from nsbench.benchmarks.encoders import Encoder, hash_weights, load_trained
from nsbench.benchmarks.export.sentence_transformer import (
    adapter_of,
    base_of,
    save,
    to_sentence_transformer,
)
from nsbench.benchmarks.files import written_whole
from nsbench.benchmarks.records import (
    CellPaths,
    ResultsFolder,
    RunRecord,
    Score,
    read_json,
    read_record,
    read_scores,
)
from nsbench.benchmarks.records.cell import RECIPE, Budget, Cell, Choice, Evaluation
from nsbench.benchmarks.records.local_task import LocalTask, local_task
from nsbench.benchmarks.runs.cell_run import trained_encoder
from nsbench.benchmarks.training.regime import built_encoder

TASK_TYPES = {
    "accuracy": "text-classification",
    "f1": "text-classification",
    "v_measure": "clustering",
    "ndcg_at_10": "information-retrieval",
    "map_at_1000": "reranking",
    "max_ap": "pair-classification",
}
"""Type of a task on a card by its main metric; all others are similarities of sentences."""


def cell_from(plain: dict[str, Any]) -> Cell:
    """The cell that a ``cell.json`` describes.

    Raises:
        ValueError: If it was made by another recipe, which today's code does not follow.
    """
    if plain.get("recipe") != RECIPE:
        raise ValueError(
            f"the cell follows recipe {plain.get('recipe')}, this version {RECIPE}: run it again"
        )

    def choice(value: dict[str, Any]) -> Choice:
        return Choice(value["name"], value["params"])

    def task(value: str | dict[str, Any]) -> str | LocalTask:
        return value if isinstance(value, str) else local_task(value)

    views = plain["augmentation"]
    tested: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in plain["evaluation"].items()
    }
    tested |= {"tasks": tuple(map(task, tested["tasks"])), "dev": task(tested["dev"])}
    return Cell(
        sampler=choice(plain["sampler"]),
        view1=tuple(map(choice, views["view1"])),
        view2=tuple(map(choice, views["view2"])),
        objective=choice(plain["objective"]),
        candidates=choice(plain["candidates"]),
        encoder=choice(plain["encoder"]),
        data=choice(plain["data"]),
        budget=Budget(**plain["budget"]),
        evaluation=Evaluation(**tested),
        difficulty_every=plain["difficulty"]["every"],
        seed=plain["seed"],
        inputs=plain["inputs"],
        regime=choice(plain["regime"]),
        limit=plain["limit"],
    )


def check_exportable(folder: Path, to: Path, *, retrain: bool = False) -> tuple[Cell, RunRecord]:
    """The cell and its record, if it is one that `export_cell` takes; reads no weights.

    Raises:
        ValueError: If the cell is not done or has no weights, or ``to`` is not new or empty.
    """
    paths = CellPaths(folder)
    record = read_record(paths)
    if record.status != "done":
        raise ValueError(f"{folder} is {record.status}, not done: {record.reason}")
    if to.exists() and any(to.iterdir()):
        raise ValueError(f"{to} is not empty: choose a new folder")
    plain = {k: v for k, v in record.cell.items() if k != "labels"}
    cell = cell_from(plain)
    if cell.key != record.key:
        raise ValueError(f"{paths.cell} is not the cell of its record, {record.key}")
    if not paths.weights.is_file() and not retrain:
        raise ValueError(
            f"{paths.folder} kept no weights: set keep_weights = true under [run] before the run, "
            "or --retrain to train it again now"
        )
    return cell, record


_BASE_HERE = """## Base

This folder holds an adapter. Its base is a folder of the machine that it was exported on: to load
it elsewhere, put the base there and set `base_model_name_or_path` in `adapter_config.json`.
"""


def export_cell(
    folder: Path, to: Path, *, pooling: str = "", retrain: bool = False, place: str = ""
) -> RunRecord:
    """Write the cell's model as a sentence-transformers folder.

    Args:
        folder: The cell's folder.
        to: Where; must be new or empty.
        pooling: ``mean`` or ``cls`` in place of the one it was scored with.
        retrain: Train the cell again where it kept no weights.
        place: Where the card says to load it from, such as a hub name; empty for the folder.

    Returns:
        Its record.

    Raises:
        ValueError: As `check_exportable`, or if the weights are not those of the record.
    """
    cell, record = check_exportable(folder, to, retrain=retrain)
    paths = CellPaths(folder)
    encoder = _weights(cell, paths, record)
    scored = pooling or cell.evaluation.pooling
    if getattr(encoder, "pooling", None) is None:
        scored = ""  # a table has no layers to pool otherwise
    model = to_sentence_transformer(encoder, pooling=scored)
    adapter, base = adapter_of(encoder), base_of(encoder)
    local = Path(base).is_absolute()
    if place and local:  # no one else has a base that is a folder of this machine
        adapter = None
    about = card(record, paths, note=pooling, place=place)
    if adapter is not None and local:
        about += _BASE_HERE
    with written_whole(to) as folder:
        save(model, folder, about, adapter)
    return record


def _weights(cell: Cell, paths: CellPaths, record: RunRecord) -> Encoder:
    if paths.weights.is_file():
        from safetensors.torch import load_file

        encoder = built_encoder(cell)
        load_trained(encoder, load_file(paths.weights))
    else:
        encoder = trained_encoder(cell, threads=int(record.environment.get("threads", 1)))
    found = hash_weights(encoder.state_dict().items())
    if found != record.weights:
        raise ValueError(
            f"the weights are not those of the record ({found[:12]}, not {record.weights[:12]}): "
            "another machine or library version trains to other bits"
        )
    return encoder


def card(record: RunRecord, paths: CellPaths, *, note: str = "", place: str = "") -> str:
    """The model card: front matter with every main score, then the record in words."""
    labels, scores = record.cell["labels"], [s for s in read_scores(paths.scores) if s.main]
    title = f"{labels['sampler']} on {labels['data']}"
    rows = [(s.task, s.split, s.metric, f"{s.value:.4f}") for s in scores]
    settings = [(axis, labels[axis]) for axis in labels if labels[axis]]
    settings += [(k, json.dumps(v)) for k, v in record.cell["budget"].items()]
    settings += [
        ("seed", str(record.cell["seed"])),
        ("weights, SHA-256", record.weights),
        ("record", record.key),
        ("recipe", str(record.cell["recipe"])),
    ]
    settings += [(f"version of {k}", v) for k, v in record.environment["versions"].items() if v]
    warning = ""
    if note:
        warning = f"\n\nExported with the pooling `{note}`: the scores below were another's.\n"
    return "\n".join(
        [
            _front_matter(record, scores, title),
            f"# {escape(title)}",
            "",
            "Trained and scored by `nsbench`; every number below is read from its record."
            + warning,
            "",
            "```python",
            "from sentence_transformers import SentenceTransformer",
            "",
            f"model = SentenceTransformer({json.dumps(place or '<this folder>')})",
            'print(model.encode(["a sentence"]).shape)',
            "```",
            "",
            "## Scores",
            "",
            _table(("task", "split", "metric", "score"), rows),
            "",
            "## How it was trained",
            "",
            _table(("setting", "value"), settings),
            "",
            *_alarms(record),
        ]
    )


def _alarms(record: RunRecord) -> list[str]:
    if not record.alarms:
        return []
    lines = [f"- {escape(a['name'])}: {escape(a['text'])}" for a in record.alarms]
    return ["## Alarms of the training", "", *lines, ""]


def _front_matter(record: RunRecord, scores: list[Score], title: str) -> str:
    """YAML, every text as a JSON string, which YAML reads alike."""
    lines = [
        "---",
        "library_name: sentence-transformers",
        "pipeline_tag: sentence-similarity",
        "tags:",
        "- sentence-transformers",
        "- feature-extraction",
        "- nsbench",
    ]
    base = str(record.cell["encoder"]["params"].get("source", ""))
    if base.count("/") == 1 and not base.startswith((".", "/", "~")):
        lines.append(f"base_model: {json.dumps(base)}")
    lines += ["model-index:", f"- name: {json.dumps(title)}", "  results:"]
    for score in scores:
        lines += [
            "  - task:",
            f"      type: {TASK_TYPES.get(score.metric, 'semantic-similarity')}",
            "    dataset:",
            f"      name: {json.dumps(score.task)}",
            f"      type: {json.dumps(score.task)}",
            f"      split: {json.dumps(score.split)}",
            "    metrics:",
            f"    - type: {json.dumps(score.metric)}",
            f"      value: {score.value!r}",
        ]
    return "\n".join([*lines, "---", ""])


def _table(head: Any, rows: Any) -> str:
    def cell(value: Any) -> str:
        return escape(" ".join(str(value).split())).replace("|", "\\|")

    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join([*lines, *("| " + " | ".join(map(cell, row)) + " |" for row in rows)])


def find_cell(place: Path, key: str = "") -> Path:
    """The folder of a cell: ``place`` itself, or the one in a results folder whose key fits.

    Raises:
        ValueError: If there is none, or more than one.
    """
    if (place / "record.json").is_file():
        return place
    fits = [
        paths.folder
        for paths in ResultsFolder(place).folders()
        if key and (paths.folder.name.endswith(f"-{key}") or _says(paths, key))
    ]
    if len(fits) == 1:
        return fits[0]
    if not fits:
        wanted = f"a cell {key!r}" if key else "a record.json; name a cell with --cell KEY"
        raise ValueError(f"{place} has no {wanted}" if not key else f"{place} has not {wanted}")
    names = ", ".join(f.name for f in fits[:5])
    raise ValueError(f"{len(fits)} cells fit {key!r}: {names}")


def _says(paths: CellPaths, key: str) -> bool:
    try:
        return str(read_json(paths.cell)["labels"]["sampler"]) == key
    except (ValueError, KeyError, TypeError):
        return False
