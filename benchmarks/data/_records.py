"""Rows of a local file of any format, each with the place it was read from.

Only text, JSON and parquet are read, plain or gzipped; nothing in a file is ever executed.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from nsbench.benchmarks.files import sha256_of
from nsbench.samplers import suggest

Record = tuple[str, Mapping[str, Any]]  # its place in the file, and its cells by column
FORMATS = (".csv", ".json", ".jsonl", ".ndjson", ".parquet", ".tsv", ".txt")
QUOTES = ("auto", "double", "none")


def format_of(path: Path) -> str:
    """The format by the name's ending, ``.gz`` aside.

    Raises:
        ValueError: If it is none of `FORMATS`.
    """
    name = path.name.lower().removesuffix(".gz")
    ending = Path(name).suffix
    if ending not in FORMATS or (ending == ".parquet" and path.name.lower().endswith(".gz")):
        raise ValueError(
            f"{path} is no file that can be read: its name must end in one of "
            f"{', '.join(FORMATS)}, each but .parquet with an optional .gz"
        )
    return ending


def existing(path: Path) -> Path:
    """The path, if something is there.

    Raises:
        FileNotFoundError: With the nearest name in its folder.
    """
    if path.exists():
        return path
    there = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    if not there:
        raise FileNotFoundError(f"there is no file {path}: its folder is missing or empty")
    hint = suggest(path.name, there)
    raise FileNotFoundError(f"there is no file {path}. {hint if len(there) <= 20 else ''}".strip())


def sha256(paths: Iterable[Path]) -> str:
    """Return ``sha256:...`` over the bytes of files."""
    return f"sha256:{sha256_of(*paths)}"


def records(path: Path, *, header: bool = True, quotes: str = "auto") -> Iterator[Record]:
    """The rows of a file.

    Args:
        path: A file whose name ends in one of `FORMATS`.
        header: Whether the first row of a csv or tsv file names the columns; without it they are
            called "1", "2" and so on.
        quotes: What a double quote means in csv and tsv: "double" protects delimiters and line
            ends, "none" is a character like any other, "auto" is "double" in csv, "none" in tsv.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a row cannot be read, naming file and line.
    """
    kind = format_of(path)
    existing(path)
    if kind == ".parquet":
        yield from _parquet(path)
        return
    with _opened(path) as file:
        if kind in (".jsonl", ".ndjson"):
            yield from _json_lines(path, file)
        elif kind == ".json":
            yield from _json(path, file)
        elif kind == ".txt":
            yield from _lines(path, file)
        else:
            protected = quotes == "double" or (quotes == "auto" and kind == ".csv")
            yield from _table(
                path, file, "," if kind == ".csv" else "\t", header=header, quotes=protected
            )


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    unpack = gzip.open if path.name.lower().endswith(".gz") else open
    with unpack(path, "rt", encoding="utf-8-sig", newline="") as file:
        try:
            yield file
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8 text: {error.reason}") from None
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is not a whole gzip file: {error}") from None


def _json_lines(path: Path, file: TextIO) -> Iterator[Record]:
    for number, line in enumerate(file, 1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{where}: not JSON: {error.msg} at {error.colno}") from None
            yield where, _mapping(where, row)


def _json(path: Path, file: TextIO) -> Iterator[Record]:
    text = file.read()
    if not text.strip():
        return
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        hint = "; is it one object a line? Then call it .jsonl" if "Extra" in error.msg else ""
        raise ValueError(f"{path}, line {error.lineno}: not JSON: {error.msg}{hint}") from None
    if not isinstance(rows, list):
        raise ValueError(f"{path}: must hold a list of rows, holds a {type(rows).__name__}")
    for number, row in enumerate(rows, 1):
        where = f"{path}, row {number}"
        yield where, _mapping(where, row)


def _mapping(where: str, row: object) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f"{where}: a row must be an object, got {type(row).__name__}")
    return row


def _lines(path: Path, file: TextIO) -> Iterator[Record]:
    for number, line in enumerate(file, 1):
        if line.strip():
            yield f"{path}, line {number}", {"text": line.strip()}


def _table(
    path: Path, file: TextIO, delimiter: str, *, header: bool, quotes: bool
) -> Iterator[Record]:
    if quotes:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
    else:
        reader = csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    names: list[str] | None = None
    start = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            hint = '; if quotes are plain characters here, set quotes = "none"' if quotes else ""
            raise ValueError(f"{path}, line {start}: {error}{hint}") from None
        where, start = f"{path}, line {start}", reader.line_num + 1
        if cells is None:
            return
        if not cells:
            continue
        if names is None:
            names = cells if header else [str(i + 1) for i in range(len(cells))]
            twice = [n for i, n in enumerate(names) if n in names[:i]]
            if twice:
                raise ValueError(f"{where}: two columns are called {twice[0]!r}")
            if header:
                continue
        if len(cells) != len(names):
            raise ValueError(f"{where}: {len(cells)} cells where the first row has {len(names)}")
        yield where, dict(zip(names, cells, strict=True))


def _parquet(path: Path) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path} cannot be read as parquet: {error}") from None
