"""Read data, mine, and write a folder; running the same command again finds it done."""

import io
import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.data._reading import Reading, Report, joined
from nsbench.benchmarks.data._records import existing, records, sha256
from nsbench.benchmarks.data._rows import without_repeats
from nsbench.benchmarks.data._values import Keyed, filled, key_of, maybe
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

RECIPE = 2
"""Raised by hand when the same settings give other negatives, or other files."""
KEYS = ("_id", "docid")
"""Columns of a corpus that hold the id of a document, the first that is there."""


def read_data(
    source: str, columns: dict[str, str], split: str = "", reading: Reading | None = None
) -> TrainingData:
    """Read rows to mine for: a file, a BEIR folder, or a data set by name, ``planted[rows=200]``.

    Args:
        source: A path, or a data set by name.
        columns: ``{our name: the file's name}``.
        split: Of a BEIR folder or hub data set.
        reading: Options other than the default ones; a data set refuses those that it lacks.

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
    changed = {k: v for k, v in vars(reading or Reading()).items() if v != getattr(Reading, k)}
    data = datasets.make(kind, **given | changed)
    data.check()
    return data()


def with_corpus(
    data: TrainingData, corpus: Path | None, reading: Reading | None = None
) -> tuple[TrainingData, Ints | None]:
    """Add texts to mine from; return the data and the numbers of these texts.

    Args:
        data: The rows.
        corpus: A jsonl, csv, tsv, parquet or txt file with a column ``text`` (and ``title``),
            ``document_text``, or one column alone. Ids in `KEYS` are kept.
        reading: How it is read.

    Raises:
        ValueError: If a row has no text, or an id occurs twice with different texts.
    """
    if corpus is None:
        return data, None
    reading = reading or Reading()
    path, report = existing(corpus.expanduser()), Report(reading.bad_rows)
    known = {text: i for i, text in enumerate(data.texts)}
    ids, keys, found = dict(data.document_ids), Keyed("id", report), []
    for where, row in records(path, reading, report):
        with report.guarded():
            column, text = _document(where, row)
            report.columns |= set(row) - {"title", column, *KEYS}
            key = next((k for k in KEYS if k in row and k != column), "")
            if key:
                name = key_of(where, row, key)
                keys.put(where, name, text)
                if keys[name] != text:
                    continue
                ids.setdefault(text, name)
            found.append(known.setdefault(text, len(known)))
    if not found:
        raise ValueError(f"{path} is empty: it has no row that can be used")
    more = replace(
        data,
        texts=tuple(known),
        meaning=None
        if data.meaning is None
        else np.pad(data.meaning, (0, len(known) - len(data.texts)), constant_values=-1),
        revision=f"{data.revision} {sha256([path])}".strip(),
        document_ids=ids,
        report=joined(data.report, report),
    )
    return more, np.unique(np.array(found, np.int64))


def _document(where: str, row: Any) -> tuple[str, str]:
    """The column that holds a document, and its text with its title."""
    column = next((c for c in ("text", "document_text") if c in row), None)
    if column is None and len(row) == 1:
        column = next(iter(row))
    if column is None:
        raise ValueError(f"{where}: has no column 'text'; there are {', '.join(row)}")
    words = [*maybe(where, row, "title"), *maybe(where, row, column)]
    return column, filled(where, column, " ".join(words))


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
    mining = replace(mining, data=without_repeats(mining.data))
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
        "read": mining.data.report,
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
    made = {
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
    if data.query_ids or data.document_ids:
        made["ids"] = content_key([dict(data.query_ids), dict(data.document_ids)])
    return made


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
