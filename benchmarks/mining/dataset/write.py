"""Read data, mine, and write a folder; running the same command again finds it done."""

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.data._columns import OptionUnread
from nsbench.benchmarks.data._reading import Reading, Report, joined
from nsbench.benchmarks.data._records import existing, records, sha256
from nsbench.benchmarks.data._rows import without_repeats
from nsbench.benchmarks.data._values import Keyed, filled, key_of, maybe
from nsbench.benchmarks.encoders.pretrained import TextModel
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import content_key
from nsbench.benchmarks.mining.corpus import ShortageError
from nsbench.benchmarks.mining.dataset.card import card
from nsbench.benchmarks.mining.dataset.formats import names_of, negatives_in, write_set, written
from nsbench.benchmarks.mining.dataset.mined_set import MinedSet, Mining
from nsbench.benchmarks.mining.dataset.report import report
from nsbench.benchmarks.mining.dataset.rescore import Rescorer
from nsbench.benchmarks.mining.settings import FORMATS, MinedFiles
from nsbench.benchmarks.mining.sources import Ints
from nsbench.benchmarks.mining.words import VERSION, are_plain
from nsbench.benchmarks.records import read_json
from nsbench.samplers import one_of, parse_choice

RECIPE = 2
"""Raised by hand when the same settings give other negatives, or other files."""
WIDENING = 3
"""The recipe of settings whose window grows, which other versions kept narrow."""
DETAILS = ("provenance.parquet", "report.json")
"""Files next to those of the rows, checked like these."""
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
    kind, given = _settings(source, columns, split, reading)
    data = datasets.make(kind, **given)
    data.check()
    return data()


def read_graded(
    source: str, columns: dict[str, str], split: str = "", reading: Reading | None = None
) -> TrainingData | None:
    """Return all pairs with their grades, where the rows of `read_data` are those above a grade.

    Returns:
        ``None`` where no least grade is named, or the layout has no graded view.

    Raises:
        ValueError: If a grade is not finite.
    """
    kind, given = _settings(source, columns, split, reading)
    if given.pop("min_score", None) is None:
        return None
    try:
        return datasets.make(kind, **given | {"views": "graded"})()
    except OptionUnread:  # anchor, positive, score: a layout without that view
        return None


def named_source(source: str) -> tuple[str, dict[str, Any]]:
    """Return the name and parameters of the data set that `read_data` reads; a path is a `file`.

    Raises:
        ValueError: If the source is neither a path nor ``name[parameter=value,...]``.
    """
    name = source.partition("[")[0]
    if Path(source).expanduser().exists() or "/" in name or Path(name).suffix:
        return "file", {"path": source}
    return parse_choice(source)


def _settings(
    source: str, columns: dict[str, str], split: str, reading: Reading | None
) -> tuple[str, dict[str, Any]]:
    """Return the name of a data set and all of its parameters."""
    kind, given = named_source(source)
    if columns:
        given = given | {"columns": columns}
    if split:
        given = given | {"split": split}
    changed = {k: v for k, v in vars(reading or Reading()).items() if v != getattr(Reading, k)}
    return kind, given | changed


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
    folder: Path,
    mining: Mining,
    wanted: MinedFiles,
    *,
    overwrite: bool = False,
    empty: bool = True,
) -> tuple[dict[str, Any], bool]:
    """Mine and write rows, provenance, report and card; ``mined.json`` last.

    Args:
        folder: Destination.
        mining: Data, settings and models.
        wanted: Form of the files.
        overwrite: Replace another set in the folder.
        empty: Write a set without a negative, too.

    Returns:
        The content of ``mined.json``, and True if the folder held this very set already.

    Raises:
        ValueError: If the folder holds another set or a changed one, its ``mined.json`` cannot be
            read, or a setting is not legal.
        ShortageError: If no row is left that has a negative, and the set may not be empty.
    """
    wanted.check(mining.settings)
    mining = replace(mining, data=without_repeats(mining.data))
    made = _origin(mining, wanted)
    key, done = content_key(made), folder / "mined.json"
    if done.exists() or done.is_symlink():
        there = _finished(folder, key, overwrite=overwrite)
        if there is not None:
            return there, True
    mined = written(mining.run(), wanted.form)
    if not empty and not (mined.negatives[mined.kept] >= 0).any():
        reasons = ", ".join(f"{name} {count}" for name, count in mined.short_by.items())
        raise ShortageError(
            f"mine: no row of {mining.data.name} has a negative to write, so nothing is written. "
            f"{mined.short} of {mined.data.rows} rows found fewer than "
            f"{mining.settings.negatives}, left short by: {reasons}. Loosen a filter, raise "
            "range_max, or add texts with --corpus; the policy fewer keeps rows that drop leaves "
            "out"
        )
    found = report(mined)
    found["counts"]["negatives"] = negatives_in(mined, wanted.form)
    done.unlink(missing_ok=True)  # not before there is another set to write
    files = write_set(mined, folder, wanted)
    names = ("nsbench", "torch", "transformers", "sentence-transformers", "bm25s")
    made |= {
        "key": key,
        "read": mining.data.report,
        "files": {p.relative_to(folder).as_posix(): sha256([p]) for p in files},
        "versions": {n: _version(n) for n in names if _version(n)},
        "report": found,
    }
    contents = (_provenance(mined), (json.dumps(found, indent=1) + "\n").encode())
    for name, content in zip(DETAILS, contents, strict=True):
        write_atomically(folder / name, content)
    made["details"] = {name: sha256([folder / name]) for name in DETAILS}
    write_atomically(folder / "README.md", card(mined, made, found))
    write_atomically(done, json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    return made, False


def _finished(folder: Path, key: str, *, overwrite: bool) -> dict[str, Any] | None:
    """Return the card of a folder that holds the wanted set, or ``None`` if it has to be made.

    A file that is missing is made again. One that has changed may be the user's work, or a sign of
    a damaged disk: only ``overwrite`` replaces it.

    Raises:
        ValueError: If the folder holds another set or a changed one, or its card is damaged.
    """
    done = folder / "mined.json"
    remedy = "choose another folder, or --overwrite to make the set again"
    try:
        there = _plain_json(done)
        digests = _digests(there)
    except ValueError as error:
        if overwrite:
            return None
        raise ValueError(f"{done} is not the card of a mined set ({error}): {remedy}") from None
    if there["key"] != key:
        if overwrite:
            return None
        raise ValueError(
            f"{folder} holds another mined set (key {there['key']}, this one is {key}): {remedy}"
        )
    places = [folder / name for name in (*digests, *DETAILS)]
    missing = any(not place.exists() for place in places)
    changed = [
        name
        for name, digest in digests.items()
        if (place := folder / name).exists() and not (place.is_file() and sha256([place]) == digest)
    ]
    if not missing and not changed and _plain_json(folder / "report.json") != there["report"]:
        changed = ["mined.json or report.json"]
    if changed and not overwrite:
        raise ValueError(
            f"{folder}: changed since nsbench mine wrote it, by the SHA-256 in mined.json: "
            f"{', '.join(changed)}; {remedy}"
        )
    return None if missing or changed else there


def _plain_json(path: Path) -> Any:
    """Content of a JSON file; a pipe or device is never opened.

    Raises:
        ValueError: If it is no file or cannot be read.
    """
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    return read_json(path)


def _digests(made: Any) -> dict[str, str]:
    """Digests of a set's files by name, as its ``mined.json`` has them.

    Raises:
        ValueError: If it lacks them, or names other files than such a set has.
    """
    if not isinstance(made, dict):
        raise ValueError(f"it holds a {type(made).__name__}, not an object")
    kinds = {"key": str, "format": str, "file_type": str, "files": dict, "report": dict}
    for name, kind in kinds.items():
        if not isinstance(made.get(name), kind):
            raise ValueError(f"its {name} is {made.get(name)!r}")
    files, details = made["files"], made.get("details", {})  # older versions have no details
    one_of("it", "format", made["format"], FORMATS)
    if {*files} != {*names_of(made["format"], made["file_type"])} or not isinstance(details, dict):
        raise ValueError(f"its files are {', '.join(files) or 'none'}")
    if details and {*details} != {*DETAILS}:
        raise ValueError(f"its details are {', '.join(details)}")
    digests: dict[str, str] = files | details
    return digests


def _origin(mining: Mining, wanted: MinedFiles) -> dict[str, Any]:
    """Everything that decides the files of a mined set, as plain data."""
    data, documents = mining.data, mining.documents
    lexical = mining.settings.source == "bm25"
    words = {} if not lexical or are_plain(data.texts) else {"words": VERSION}
    made: dict[str, Any] = words | {
        "recipe": WIDENING if mining.settings.widens else RECIPE,
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
    if wanted.scores and wanted.form.startswith("labeled"):
        made["labels"] = "next to scores"  # other versions left them out
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
    return table.to_parquet(index=False, compression="zstd")
