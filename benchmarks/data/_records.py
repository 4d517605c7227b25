"""Rows of a local file of any format, each with the place it was read from.

Only text, JSON and parquet are read, plain or gzipped; nothing in a file is ever executed, and no
file makes the reader hold more than a bounded part of it.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from nsbench.benchmarks.data._reading import QUOTES, Reading, Report, RowError
from nsbench.benchmarks.data._tables import MARK, lines_of, plain_lines, table_rows
from nsbench.benchmarks.data._values import SURROGATE, Record
from nsbench.benchmarks.files import sha256_of
from nsbench.samplers import suggest

__all__ = ["FORMATS", "QUOTES", "Record", "existing", "format_of", "records", "sha256"]

FORMATS = (".csv", ".json", ".jsonl", ".ndjson", ".parquet", ".tsv", ".txt")
TABLES = (".csv", ".tsv", ".txt")
LONGEST_FILE = 1 << 32
"""Characters of a json file, which is read as a whole."""
_SIGNS = {
    b"\xff\xfe": 'UTF-16 does: set encoding = "utf-16"',
    b"\xfe\xff": 'UTF-16 does: set encoding = "utf-16"',
    b"\x1f\x8b": "a gzip file does: let its name end in .gz",
    b"PK\x03\x04": "a zip file does: unpack it",
    b"PAR1": "a parquet file does: let its name end in .parquet",
}
"""First bytes of files of other kinds, and what to do with them."""
SAFE_BYTES = 1 << 28
"""Unpacked bytes that are read of any packed file."""
MOST_TIMES = 200
"""A packed file with more bytes than `SAFE_BYTES` may be unpacked to as many times its size."""


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


def records(
    path: Path, reading: Reading | None = None, report: Report | None = None
) -> Iterator[Record]:
    """The rows of a file in one of `FORMATS`; without a report, any bad row is an error.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a row cannot be read, naming file and line; if the file is damaged, too
            large when unpacked, or an option does not apply to it.
    """
    reading, report = reading or Reading(), report or Report()
    kind = format_of(path)
    if not existing(path).is_file():
        raise ValueError(f"{path} is no file: it is a folder, a pipe or a device")
    wrong = [] if kind in TABLES else reading.of_tables()
    if wrong:
        raise ValueError(
            f"{path}: {wrong[0]} is {getattr(reading, wrong[0])!r}, but only csv, tsv and txt "
            f"files have a {wrong[0]} option"
        )
    for record in _rows(path, kind, reading, report):
        report.count(path.name)
        yield record


def _rows(path: Path, kind: str, reading: Reading, report: Report) -> Iterator[Record]:
    if kind == ".parquet":
        yield from _parquet(path)
        return
    with _opened(path, reading.encoding) as file:
        if kind in (".jsonl", ".ndjson"):
            yield from _json_lines(path, file, report)
        elif kind == ".json":
            yield from _json(path, file, report)
        elif kind == ".txt" and reading.delimiter == "auto":
            yield from plain_lines(path, file, reading)
        else:
            yield from table_rows(path, kind, file, reading, report)


class _Unpacking(io.RawIOBase):
    """A gzip file that refuses to grow out of proportion."""

    def __init__(self, path: Path, file: gzip.GzipFile) -> None:
        self.path, self.file, self.size, self.given = path, file, path.stat().st_size, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self.file.read(len(buffer))
        buffer[: len(block)] = block
        self.given += len(block)
        bounded(self.path, self.given, self.size)
        return len(block)


def bounded(path: Path, unpacked: int, packed: int) -> None:
    """Raise ``ValueError`` if a packed file becomes too large."""
    if unpacked > max(SAFE_BYTES, MOST_TIMES * packed):
        raise ValueError(
            f"{path} unpacks to more than {MOST_TIMES} times its size, over {SAFE_BYTES >> 20} "
            "MiB: it is not read; unpack it, if you trust it"
        )


@contextmanager
def _opened(path: Path, encoding: str) -> Iterator[TextIO]:
    with path.open("rb") as raw:
        inner: Any = raw
        if path.name.lower().endswith(".gz"):
            unpacked = gzip.GzipFile(fileobj=raw)
            inner = io.BufferedReader(_Unpacking(path, unpacked), 1 << 16)
        try:
            with io.TextIOWrapper(inner, encoding=encoding, newline="") as file:
                yield file
        except UnicodeError as error:
            why = getattr(error, "reason", error)
            with path.open("rb") as again:
                first = again.read(4)
            begins = next((what for sign, what in _SIGNS.items() if first.startswith(sign)), "")
            hint = f"it begins as {begins}" if begins else "set encoding to the one that it has"
            raise ValueError(f"{path} is not {encoding.upper()} text: {why}; {hint}") from None
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is not a whole gzip file: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    names = "".join(found)
    if not names.isascii() and SURROGATE.search(names):
        raise ValueError("a key holds half of a surrogate pair, as of a cut emoji")
    if len(found) != len(pairs):
        keys = [name for name, _ in pairs]
        twice = next(n for i, n in enumerate(keys) if n in keys[:i])
        raise ValueError(f"the key {twice!r} occurs twice in one object")
    return found


_JSON = json.JSONDecoder(object_pairs_hook=_object)


def _json_lines(path: Path, file: TextIO, report: Report) -> Iterator[Record]:
    for number, line in enumerate(lines_of(path, file), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = _JSON.decode(line)
            if not isinstance(row, dict):
                got = f", got {type(row).__name__}"
                raise RowError(where, "a row must be an object", got)
        except RowError as error:
            report.refuse(error)
        except json.JSONDecodeError as error:
            report.refuse(RowError(where, "not JSON", f": {error.msg} at {error.colno}"))
        except RecursionError:
            report.refuse(RowError(where, "not JSON that can be read", ": nested too deeply"))
        except ValueError as error:
            report.refuse(RowError(where, "not JSON that can be read", f": {error}"))
        else:
            yield where, row


def _json(path: Path, file: TextIO, report: Report) -> Iterator[Record]:
    text = file.read(LONGEST_FILE + 1).lstrip(MARK)
    if len(text) > LONGEST_FILE:
        raise ValueError(
            f"{path} has more than {LONGEST_FILE:,} characters, too many for one json value: "
            "write one object a line and call it .jsonl"
        )
    if not text.strip():
        return
    try:
        rows = _JSON.decode(text)
    except json.JSONDecodeError as error:
        hint = "; is it one object a line? Then call it .jsonl" if "Extra" in error.msg else ""
        raise ValueError(f"{path}, line {error.lineno}: not JSON: {error.msg}{hint}") from None
    except RecursionError:
        raise ValueError(f"{path}: not JSON that can be read: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path}: not JSON that can be read: {error}") from None
    if not isinstance(rows, list):
        raise ValueError(f"{path}: must hold a list of rows, holds a {type(rows).__name__}")
    for number, row in enumerate(rows, 1):
        where = f"{path}, row {number}"
        if isinstance(row, dict):
            yield where, row
        else:
            got = f", got {type(row).__name__}"
            report.refuse(RowError(where, "a row must be an object", got))


def _parquet(path: Path) -> Iterator[Record]:
    """Rows of a parquet file; anything that pyarrow says of a damaged one is one sentence."""
    import pyarrow.parquet

    def damaged(error: Exception) -> ValueError:
        words = " ".join(str(error).split())[:200]
        return ValueError(f"{path} cannot be read as parquet: {words or type(error).__name__}")

    try:
        file = pyarrow.parquet.ParquetFile(path)
        names = file.schema_arrow.names
        batches = file.iter_batches(batch_size=1024)
    except Exception as error:
        raise damaged(error) from None
    twice = [n for i, n in enumerate(names) if n in names[:i]]
    if twice:
        raise ValueError(f"{path}: two columns are called {twice[0]!r}")
    number = given = 0
    with file:
        while True:
            try:
                batch = next(batches, None)
                rows: list[Mapping[str, Any]] = [] if batch is None else batch.to_pylist()
            except Exception as error:
                raise damaged(error) from None
            if batch is None:
                return
            given += batch.nbytes
            bounded(path, given, path.stat().st_size)
            for row in rows:
                number += 1
                yield f"{path}, row {number}", row
