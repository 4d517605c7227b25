"""A results folder as a few small parquet files that can be stored, and back again. No torch here.

What is kept is all that leaderboards, tables, figures and reports are made from, see
`nsbench.benchmarks.records.packed_tables`. Weights, logs, losses by step and mteb's own files
are not kept. Layout::

    <packed>/records.parquet      folder, record (JSON); the row without a folder is matrix.json
             scores.parquet       folder, then the columns of scores.csv
             difficulty.parquet   folder, then some of those of difficulty.parquet, its quantiles
                                  unless they were left out
             histograms.parquet   folder, then those of histograms.parquet; absent if left out
             negatives.parquet    folder, then `NEGATIVE_COLUMNS`; absent where no cell has any
             queries.parquet      folder, then the columns of queries.parquet; absent likewise, and
                                  from packs of over two million values
             study.json ...       settings and choices of a tuning study as they are, see `STUDY`
             journals.parquet     file, text: its journals, see `JOURNALS`; as they are in packs of
                                  older versions

Each file holds its SHA-256 in its footer, and is refused if it is another; files of older versions
hold none and are believed.
"""

import io
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nsbench.benchmarks.files import (
    StorageError,
    in_the_way,
    read_regular_file,
    sha256_of_bytes,
    write_atomically,
)
from nsbench.benchmarks.keys import pretty_json, slug
from nsbench.benchmarks.records.digests import BLANK, UNPACKED, unpacked_json
from nsbench.benchmarks.records.folder import ResultsFolder
from nsbench.benchmarks.records.json_file import RecordError, read_json
from nsbench.benchmarks.records.packed_tables import (
    MOST,
    OPTIONAL,
    QUANTILES,
    TABLES,
    readers,
)
from nsbench.benchmarks.records.record import (
    RunRecord,
    Score,
    record_text,
    scores_csv,
)
from nsbench.benchmarks.records.study import ASKED, CHOSEN, LISTED, READ

STUDY = (ASKED, CHOSEN)
JOURNALS = (LISTED, READ)
"""Files that a tuning study adds to a results folder."""
_JOURNALS = "journals.parquet"
_STAGE = ".unpack.{}.tmp"
_MARK = b"nsbench.sha256"
_DIGEST = re.compile(re.escape(_MARK) + rb"[^0-9a-f]{1,8}([0-9a-f]{64})")
_PLACE = re.compile(r'File ".*?((?:nsbench|samplers|benchmarks|analysis|site-packages)/[^"]*)"')


def is_packed(folder: Path) -> bool:
    """Return whether a folder holds what `pack` writes."""
    return (folder / "records.parquet").is_file()


def pack(
    root: Path, out: Path, *, texts: bool = True, distributions: bool = True
) -> tuple[list[Path], list[str]]:
    """Pack a results folder; the same folder gives the same bytes.

    Args:
        root: The results folder.
        out: Where the files go; made if missing.
        texts: Keep the texts of the negatives, of cells that kept theirs; otherwise numbers alone.
        distributions: Keep the histograms of similarity, the largest table of small cells, and
            `QUANTILES` of difficulty, half of its table; its means are always kept.

    Returns:
        The files, and one line for every file that could not be read.

    Raises:
        RecordError: If the folder has no record that can be read.
    """
    folder = ResultsFolder(root)
    records, bad = folder.records()
    if not records:
        raise RecordError(f"{root} holds no finished cell to pack")
    names = [paths.folder.name for paths, _ in records]
    stored = [_portable(record) for _, record in records]
    if folder.matrix.is_file():
        names.append("")
        stored.append(_text(read_json(folder.matrix)))
    out.mkdir(parents=True, exist_ok=True)
    files = [_write(out / "records.parquet", pa.table({"folder": names, "record": stored}))]
    for name, read in readers(records, texts=texts, distributions=distributions).items():
        parts = []
        for paths, record in records:
            try:
                part = read(paths, record) if record.status == "done" else None
            except (OSError, ValueError) as error:
                bad.append(f"{paths.folder.name}, {name}: {' '.join(str(error).split())}")
                continue
            if part is not None:
                parts.append(part.assign(folder=paths.folder.name))
        if (rows := sum(map(len, parts))) > MOST.get(name, rows):
            bad.append(f"{name} of all cells: {rows:,} rows, more than the {MOST[name]:,} kept")
            parts = []
        if name in OPTIONAL and not parts:
            (out / f"{name}.parquet").unlink(missing_ok=True)
            continue
        whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
        columns = ["folder", *_columns(name, whole)] if parts else []
        files.append(_write(out / f"{name}.parquet", pa.Table.from_pandas(whole[columns])))
    for path in (root / name for name in STUDY):
        if path.is_file():
            write_atomically(out / path.name, read_regular_file(path))
            files.append(out / path.name)
    for name in (_JOURNALS, *JOURNALS):  # the latter of an older version
        (out / name).unlink(missing_ok=True)
    journals = {n: read_regular_file(root / n).decode() for n in JOURNALS if (root / n).is_file()}
    if journals:
        table = pa.table({"file": [*journals], "text": [*journals.values()]})
        files.append(_write(out / _JOURNALS, table))
    return files, bad


def unpack(packed: Path, root: Path) -> int:
    """Make a results folder of packed files: all of it, or nothing.

    Args:
        packed: Where `pack` wrote.
        root: The results folder; new, empty, or what a killed `unpack` of these files left.

    Returns:
        How many cells were written.

    Raises:
        RecordError: If a file is missing, damaged or of another shape, or names a path; or if
            ``root`` is a link or holds anything.
        StorageError: If it cannot be written.
    """
    files, cells = _unpacked(packed)
    _refuse_taken(root, files)
    made = not root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        stage = root / _STAGE.format(secrets.token_hex(4))
        try:
            (stage / "runs").mkdir(parents=True)
            for name, data in files.items():
                target = stage / name
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(data)
            for part in sorted(stage.iterdir()):  # matrix.json, then all cells at once
                if not (root / part.name).exists():
                    part.rename(root / part.name)
            for left in root.glob(_STAGE.format("*")):
                shutil.rmtree(left, ignore_errors=True)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
            if made:
                with suppress(OSError):
                    root.rmdir()  # only if nothing was written
    except OSError as error:
        raise StorageError.at(root, error) from None
    return cells


def _refuse_taken(root: Path, files: Mapping[str, bytes]) -> None:
    """Raise ``RecordError`` if a folder holds anything but parts of these files, each whole."""
    kind = in_the_way(root)
    if kind not in ("", "a directory") or root.is_file():
        raise RecordError(f"{root} is {kind or 'a file'}: name a new or empty folder")
    if kind and not all(_left_by_a_kill(part, root, files) for part in root.iterdir()):
        raise RecordError(
            f"{root} is not empty: nothing is unpacked over what is there; name a new folder"
        )


def _left_by_a_kill(part: Path, root: Path, files: Mapping[str, bytes]) -> bool:
    if part.is_symlink():
        return False
    if part.match(_STAGE.format("*")):
        return True
    below = [part, *part.rglob("*")]
    if any(path.is_symlink() for path in below):
        return False
    found = {path.relative_to(root).as_posix(): path for path in below if not path.is_dir()}
    wanted = {name for name in files if name.partition("/")[0] == part.name}
    return set(found) == wanted and all(
        not in_the_way(path) and read_regular_file(path) == files[name]
        for name, path in found.items()
    )


def _unpacked(packed: Path) -> tuple[dict[str, bytes], int]:
    """Return the files of a results folder by name, and its number of cells; writes nothing."""
    rows = _texts(packed / "records.parquet", "folder", "record")
    files: dict[str, bytes] = {}
    records: dict[str, str] = {}
    for name, text in rows:
        if name and (slug(name, limit=200) != name or name in records):
            raise RecordError(f"{name!r} cannot be the name of a cell's folder, or is there twice")
        try:
            pretty = pretty_json(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise RecordError(f"{packed}/records.parquet, {name!r}: no JSON: {error}") from None
        records[name] = pretty
        files[f"runs/{name}/record.json" if name else "matrix.json"] = pretty.encode()
    present = [packed / name for name in (*STUDY, *JOURNALS) if (packed / name).is_file()]
    files |= {path.name: read_regular_file(path) for path in present}
    if (packed / _JOURNALS).exists():
        for name, text in _texts(packed / _JOURNALS, "file", "text"):
            if name not in JOURNALS:
                raise RecordError(f"{packed / _JOURNALS}: {name!r} is no file of a study")
            files[name] = text.encode()
    written: dict[str, dict[str, bytes]] = {}
    for name in TABLES:
        if name in OPTIONAL and not (packed / f"{name}.parquet").exists():
            continue
        whole = _read(packed / f"{name}.parquet", ()).to_pandas()
        if whole.empty:
            continue
        columns = _columns(name, whole)
        if absent := [c for c in ("folder", *columns) if c not in whole]:
            raise RecordError(f"{packed / name}.parquet lacks the columns {', '.join(absent)}")
        for cell, part in whole.groupby("folder", sort=True, observed=True):
            if not cell or str(cell) not in records:
                raise RecordError(f"{packed / name}.parquet has a cell without a record: {cell!r}")
            try:
                file, data = _restored(name, part[list(columns)])
            except (TypeError, ValueError) as error:
                raise RecordError(f"{packed / name}.parquet, {cell!r}: {error}") from None
            written.setdefault(str(cell), {})[file] = data
    for cell, parts in written.items():
        files |= {f"runs/{cell}/{file}": data for file, data in parts.items()}
        thin = {file: data for file, data in parts.items() if file != "scores.csv"}
        if thin:
            files[f"runs/{cell}/{UNPACKED}"] = unpacked_json(thin).encode()
    return files, sum(bool(name) for name in records)


def _columns(name: str, table: pd.DataFrame) -> list[str]:
    """Return those of `TABLES`, without quantiles that were left out."""
    return [c for c in TABLES[name] if c in table or c not in QUANTILES]


def _texts(path: Path, one: str, other: str) -> list[tuple[str, str]]:
    table = _read(path, (one, other))
    rows = list(zip(table[one].to_pylist(), table[other].to_pylist(), strict=True))
    if not all(isinstance(text, str) for row in rows for text in row):
        raise RecordError(f"{path}: {one} and {other} must be texts")
    return rows


def _restored(name: str, part: pd.DataFrame) -> tuple[str, bytes]:
    """Return name and bytes of a cell's file, from its rows of a packed table."""
    if name == "scores":
        rows = [Score(*_typed(row)) for row in part.itertuples(index=False, name=None)]
        return "scores.csv", scores_csv(rows).encode()
    wide = {"float32": np.float64, "int32": np.int64} if name != "negatives" else {}
    types = {c: wide[str(t)] for c, t in part.dtypes.items() if str(t) in wide}
    return f"{name}.parquet", part.astype(types).to_parquet(index=False)


def _typed(row: tuple[Any, ...]) -> tuple[str, str, str, str, float, int, bool]:
    """Return a row of scores with its types; names of older packs may be numbers."""
    task, split, subset, metric, value, count, main = row
    flag = main if isinstance(main, bool) else str(main).strip().lower() == "true"
    return str(task), str(split), str(subset), str(metric), float(value), int(count), flag


def _portable(record: RunRecord) -> str:
    """A record as JSON, with file names of its traceback cut to what every machine has."""
    shown = _PLACE.sub(r'File "\1"', record.traceback)
    if not record.digest:
        return _text(record.plain() | {"traceback": shown})
    return _text(json.loads(record_text(replace(record, traceback=shown))))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


_SMALL = {"compression": "zstd", "compression_level": 19}


def _encodings(table: pa.Table) -> dict[str, list[str]]:
    """Return for each column the encoding in which it takes least room: all are tried.

    The stored results take 8 % less room than with a dictionary for all but fractions.
    """
    chosen: dict[str, list[str]] = {"use_dictionary": [], "use_byte_stream_split": []}
    for column in table.schema:
        tried = ["", "use_dictionary"]
        tried += ["use_byte_stream_split"] if pa.types.is_floating(column.type) else []
        room = {}
        for way in tried:
            buffer = io.BytesIO()
            ways = {"use_dictionary": False} | ({way: [column.name]} if way else {})
            pq.write_table(table.select([column.name]), buffer, **_SMALL, **ways)
            room[way] = buffer.tell()
        if best := min(tried, key=room.__getitem__):
            chosen[best].append(column.name)
    return chosen


def _write(path: Path, table: pa.Table) -> Path:
    """Write a table whose footer holds the SHA-256 of the file with zeros in its place."""
    buffer = io.BytesIO()
    kept = table.schema.metadata or {}
    table = table.replace_schema_metadata({**kept, _MARK: BLANK.encode()})
    pq.write_table(table, buffer, **_SMALL, **_encodings(table))
    data = buffer.getvalue()
    _, place = _marked(data)
    digest = sha256_of_bytes(data).encode()
    write_atomically(path, data[:place] + digest + data[place + len(digest) :])
    return path


def _marked(data: bytes) -> tuple[bytes, int]:
    """Return the digest in the footer of a packed file and its place; empty for an older one."""
    found = list(_DIGEST.finditer(data))
    return (found[-1][1], found[-1].start(1)) if found else (b"", -1)  # the last is the footer's


def _read(path: Path, columns: tuple[str, ...]) -> pa.Table:
    try:
        data = read_regular_file(path)
        digest, place = _marked(data)
        blank = data[:place] + BLANK.encode() + data[place + len(BLANK) :]
        if digest and sha256_of_bytes(blank) != digest.decode():
            raise RecordError(f"{path} was changed or damaged: its SHA-256 is another")
        table = pq.read_table(io.BytesIO(data))
    except RecordError:
        raise
    except (OSError, ValueError) as error:  # pyarrow's errors are one or the other
        raise RecordError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    if absent := [c for c in columns if c not in table.column_names]:
        raise RecordError(f"{path} lacks the columns {', '.join(absent)}")
    return table
