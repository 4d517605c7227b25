"""Read data, mine, and write a folder; running the same command again finds it done."""

import io
import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.data._records import existing, records, sha256
from nsbench.benchmarks.encoders.pretrained import TextModel
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import content_key
from nsbench.benchmarks.mining.dataset.card import card
from nsbench.benchmarks.mining.dataset.formats import write_set
from nsbench.benchmarks.mining.dataset.mined_set import MinedSet, Mining
from nsbench.benchmarks.mining.dataset.report import report
from nsbench.benchmarks.mining.dataset.rescore import Rescorer
from nsbench.benchmarks.mining.settings import MinedFiles
from nsbench.benchmarks.mining.sources import Ints
from nsbench.benchmarks.records import read_json
from nsbench.samplers import parse_choice

RECIPE = 1
"""Raised by hand when the same settings give other negatives."""


def read_data(source: str, columns: dict[str, str], split: str = "") -> TrainingData:
    """Read rows to mine for: a file, a BEIR folder, or a data set by name, ``planted[rows=200]``.

    Raises:
        ValueError: If the source cannot be read.
        FileNotFoundError: If the source does not exist.
    """
    if Path(source).expanduser().exists() or "/" in source.partition("[")[0]:
        given: dict[str, Any] = {"path": source}
        kind = "file"
    else:
        kind, given = parse_choice(source)
    if columns:
        given = given | {"columns": columns}
    if split:
        given = given | {"split": split}
    data = datasets.make(kind, **given)
    data.check()
    return data()


def with_corpus(data: TrainingData, corpus: Path | None) -> tuple[TrainingData, Ints | None]:
    """Add texts to mine from; return the data and the numbers of these texts.

    Args:
        data: The rows.
        corpus: A jsonl, csv, tsv, parquet or txt file with a column ``text`` (and ``title``),
            ``document_text``, or one column alone.

    Raises:
        ValueError: If a row has no text.
    """
    if corpus is None:
        return data, None
    known = {text: i for i, text in enumerate(data.texts)}
    found = [
        known.setdefault(_document(where, row), len(known))
        for where, row in records(existing(corpus.expanduser()))
    ]
    more = replace(
        data,
        texts=tuple(known),
        meaning=None
        if data.meaning is None
        else np.pad(data.meaning, (0, len(known) - len(data.texts)), constant_values=-1),
        revision=f"{data.revision} {sha256([corpus.expanduser()])}".strip(),
    )
    return more, np.unique(np.array(found, np.int64))


def _document(where: str, row: Any) -> str:
    column = next((c for c in ("text", "document_text") if c in row), None)
    if column is None and len(row) == 1:
        column = next(iter(row))
    if column is None:
        raise ValueError(f"{where}: has no column 'text'; there are {', '.join(row)}")
    words = [row.get("title"), row[column]]
    text = " ".join(w.strip() for w in words if isinstance(w, str) and w.strip())
    if not text:
        raise ValueError(f"{where}: {column} is blank")
    return text


def mine_to(
    folder: Path, mining: Mining, wanted: MinedFiles, *, overwrite: bool = False
) -> tuple[dict[str, Any], bool]:
    """Mine and write rows, provenance, report and card; ``mined.json`` last.

    Args:
        folder: Destination.
        mining: Data, settings and models.
        wanted: Form of the files.
        overwrite: Replace another set in the folder.

    Returns:
        The content of ``mined.json``, and True if the folder held this very set already.

    Raises:
        ValueError: If the folder holds another set, or a setting is not legal.
    """
    wanted.check(mining.settings)
    made = _origin(mining, wanted)
    key, done = content_key(made), folder / "mined.json"
    if done.is_file():
        there = read_json(done)
        if there.get("key") == key and all((folder / f).is_file() for f in there["files"]):
            return there, True
        if not overwrite:
            raise ValueError(
                f"{folder} holds another mined set (key {there.get('key')}, this one is {key}): "
                "choose another folder, or --overwrite"
            )
        done.unlink()
    mined = mining.run()
    files = write_set(mined, folder, wanted)
    found = report(mined)
    names = ("nsbench", "torch", "transformers", "sentence-transformers", "bm25s")
    made |= {
        "key": key,
        "files": {p.relative_to(folder).as_posix(): sha256([p]) for p in files},
        "versions": {n: _version(n) for n in names if _version(n)},
        "report": found,
    }
    write_atomically(folder / "provenance.parquet", _provenance(mined))
    write_atomically(folder / "report.json", json.dumps(found, indent=1) + "\n")
    write_atomically(folder / "README.md", card(mined, made, found))
    write_atomically(done, json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    return made, False


def _origin(mining: Mining, wanted: MinedFiles) -> dict[str, Any]:
    """Everything that decides the files of a mined set, as plain data."""
    data, documents = mining.data, mining.documents
    lexical = mining.settings.source == "bm25"
    return {
        "recipe": RECIPE,
        "data": {
            "name": data.name,
            "digest": data.digest,
            "revision": data.revision,
            "rows": data.rows,
            "texts": len(data.texts),
        },
        "documents": None if documents is None else content_key(documents.tolist()),
        "model": None if lexical else _who(mining.model),
        "judge": _who(mining.judge),
        "cross_encoder": _who(mining.rescorer),
        "settings": mining.settings.plain(),
        "format": wanted.form,
        "scores": wanted.scores,
        "file_type": wanted.file_type,
    }


def _who(model: TextModel | Rescorer | None) -> dict[str, str] | None:
    return None if model is None else {"name": model.name, "revision": model.revision}


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return ""


def _provenance(mined: MinedSet) -> bytes:
    """Return a Parquet table of the negatives: row, slot, text number, score, rank."""
    import pandas as pd

    row, slot = ((mined.negatives >= 0) & mined.kept[:, None]).nonzero()
    table = pd.DataFrame(
        {
            "row": row,
            "slot": slot,
            "text": mined.negatives[row, slot],
            "score": mined.scores[row, slot],
            "rank": mined.ranks[row, slot],
            "padded": mined.ranks[row, slot] < 0,
            "positive_score": mined.positive_score[row],
        }
    )
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()
