"""From a command line's words to a finished folder; the same command again finds it done."""

import io
import json
from dataclasses import dataclass, replace
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
from nsbench.benchmarks.mining.dataset.cache import EmbeddingCache
from nsbench.benchmarks.mining.dataset.card import card
from nsbench.benchmarks.mining.dataset.formats import check_format, write_set
from nsbench.benchmarks.mining.dataset.mined_set import MinedSet, mine_set
from nsbench.benchmarks.mining.dataset.report import report
from nsbench.benchmarks.mining.dataset.rescore import Rescorer
from nsbench.benchmarks.mining.dataset.settings import MineSettings
from nsbench.benchmarks.mining.sources import Ints
from nsbench.benchmarks.records import read_json
from nsbench.samplers import parse_choice

RECIPE = 2
"""Raised by hand when the same settings give other negatives, or other files."""
KEYS = ("_id", "docid")
"""Columns of a corpus that hold the id of a document, the first that is there."""


@dataclass(frozen=True)
class Wanted:
    """What the folder is to hold.

    Args:
        form: A format, see `FORMATS`.
        scores: Whether similarities go along.
        file_type: ``jsonl`` or ``parquet``.
    """

    form: str = "triplet"
    scores: bool = False
    file_type: str = "jsonl"


def read_data(
    source: str, columns: dict[str, str], split: str = "", reading: Reading | None = None
) -> TrainingData:
    """The rows to mine for: a file, a BEIR folder, or a data set by name, ``planted[rows=200]``.

    Args:
        source: A path, or a data set by name.
        columns: ``{our name: the file's name}``.
        split: Of a BEIR folder or hub data set.
        reading: Options other than the default ones; a data set refuses those that it lacks.

    Raises:
        ValueError: If it cannot be read.
        FileNotFoundError: If it is not there.
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
    """The data with further texts to mine from, and the numbers of these.

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
    folder: Path,
    data: TrainingData,
    settings: MineSettings,
    wanted: Wanted,
    *,
    model: TextModel | None = None,
    judge: TextModel | None = None,
    rescorer: Rescorer | None = None,
    documents: Ints | None = None,
    cache: EmbeddingCache | None = None,
    overwrite: bool = False,
) -> tuple[dict[str, Any], bool]:
    """Mine and write rows, provenance, report and card; ``mined.json`` last.

    Args:
        folder: Where.
        data: Rows and texts.
        settings: How.
        wanted: In which form.
        model: As in `mine_set`, like the four after it.
        judge: See there.
        rescorer: See there.
        documents: See there.
        cache: See there.
        overwrite: Whether another set that lies there may be replaced.

    Returns:
        What ``mined.json`` holds, and whether it was there already.

    Raises:
        ValueError: If the folder holds another set, or a setting is not legal.
    """
    data = without_repeats(data)
    check_format(wanted.form, settings.shortage, wanted.file_type)
    if settings.source == "bm25":
        model = None
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
        "model": _who(model),
        "judge": _who(judge),
        "cross_encoder": _who(rescorer),
        "settings": settings.plain(),
        "format": wanted.form,
        "scores": wanted.scores,
        "file_type": wanted.file_type,
    }
    if data.query_ids or data.document_ids:
        made["ids"] = content_key([dict(data.query_ids), dict(data.document_ids)])
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
    mined = mine_set(
        data,
        settings,
        model=model,
        cache=cache,
        documents=documents,
        judge=judge,
        rescorer=rescorer,
    )
    files = write_set(mined, folder, wanted.form, scores=wanted.scores, file_type=wanted.file_type)
    found = report(mined)
    names = ("nsbench", "torch", "transformers", "sentence-transformers", "bm25s")
    made |= {
        "key": key,
        "read": data.report,
        "files": {p.relative_to(folder).as_posix(): sha256([p]) for p in files},
        "versions": {n: _version(n) for n in names if _version(n)},
        "report": found,
    }
    write_atomically(folder / "provenance.parquet", _provenance(mined))
    write_atomically(folder / "report.json", json.dumps(found, indent=1) + "\n")
    write_atomically(folder / "README.md", card(mined, made, found))
    write_atomically(done, json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    return made, False


def _who(model: TextModel | Rescorer | None) -> dict[str, str] | None:
    return None if model is None else {"name": model.name, "revision": model.revision}


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return ""


def _provenance(mined: MinedSet) -> bytes:
    """One line a negative: its row, slot, text number, score, and place in the ranking."""
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
