"""A results folder as a few small parquet files that can be stored, and back again. No torch here.

What is kept is all that leaderboards, tables, figures and reports are made from: records, scores,
means and three quantiles of difficulty rounded to `DIGITS` digits, and of the histograms the steps
that are drawn. Weights, logs, losses by step and mteb's own files are not kept. Layout::

    <packed>/records.parquet      folder, record (JSON); the row without a folder is matrix.json
             scores.parquet       folder, then the columns of scores.csv
             difficulty.parquet   folder, then some of those of difficulty.parquet
             histograms.parquet   folder, then those of histograms.parquet
"""

import io
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import pretty_json, slug
from nsbench.benchmarks.records.folder import ResultsFolder
from nsbench.benchmarks.records.json_file import RecordError, read_json
from nsbench.benchmarks.records.paths import CellPaths
from nsbench.benchmarks.records.record import HISTOGRAM_COLUMNS, SCORE_COLUMNS

DIGITS = 5
_DIFFICULTY = ("mean", "q05", "q50", "q95", "count")
_TABLES = {
    "scores": SCORE_COLUMNS,
    "difficulty": ("step", "quantity", *_DIFFICULTY),
    "histograms": HISTOGRAM_COLUMNS,
}
_PLACE = re.compile(r'File ".*?((?:nsbench|samplers|benchmarks|analysis|site-packages)/[^"]*)"')


def is_packed(folder: Path) -> bool:
    """Whether a folder holds what `pack` writes."""
    return (folder / "records.parquet").is_file()


def pack(root: Path, out: Path) -> tuple[list[Path], list[str]]:
    """Pack a results folder; the same folder gives the same bytes.

    Args:
        root: The results folder.
        out: Where the files go; made if missing.

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
    texts = [_portable(asdict(record)) for _, record in records]
    if folder.matrix.is_file():
        names.append("")
        texts.append(_text(read_json(folder.matrix)))
    out.mkdir(parents=True, exist_ok=True)
    files = [_write(out / "records.parquet", pa.table({"folder": names, "record": texts}))]
    readers: dict[str, Callable[[CellPaths], pd.DataFrame | None]] = {
        "scores": _scores,
        "difficulty": _difficulty,
        "histograms": _histograms,
    }
    for name, read in readers.items():
        parts = []
        for paths, record in records:
            try:
                part = read(paths) if record.status == "done" else None
            except (OSError, ValueError) as error:
                bad.append(f"{paths.folder.name}, {name}: {' '.join(str(error).split())}")
                continue
            if part is not None:
                parts.append(part.assign(folder=paths.folder.name))
        columns = ["folder", *_TABLES[name]]
        whole = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame()
        files.append(_write(out / f"{name}.parquet", pa.Table.from_pandas(whole)))
    return files, bad


def unpack(packed: Path, root: Path) -> int:
    """Make a results folder of packed files.

    Args:
        packed: Where `pack` wrote.
        root: The results folder; made if missing.

    Returns:
        How many cells were written.

    Raises:
        RecordError: If a file is missing, is of another shape, or names a path.
    """
    folder = ResultsFolder(root)
    rows = _read(packed / "records.parquet", ("folder", "record")).to_pandas()
    folder.runs.mkdir(parents=True, exist_ok=True)
    for matrix in rows.loc[rows["folder"] == "", "record"]:
        folder.matrix.write_text(pretty_json(json.loads(matrix)), "utf-8")
    rows = rows[rows["folder"] != ""]
    paths = {str(name): _paths(folder, name) for name in rows["folder"]}
    for name, text in zip(rows["folder"], rows["record"], strict=True):
        paths[name].folder.mkdir(exist_ok=True)
        paths[name].record.write_text(pretty_json(json.loads(text)), "utf-8")
    for name, columns in _TABLES.items():
        whole = _read(packed / f"{name}.parquet", ()).to_pandas()
        if whole.empty:
            continue
        if absent := [c for c in ("folder", *columns) if c not in whole]:
            raise RecordError(f"{packed / name}.parquet lacks the columns {', '.join(absent)}")
        for cell, part in whole.groupby("folder", sort=True, observed=True):
            if str(cell) not in paths:
                raise RecordError(f"{packed / name}.parquet has a cell without a record: {cell!r}")
            _restore(paths[str(cell)], name, part[list(columns)])
    return len(rows)


def _restore(paths: CellPaths, name: str, part: pd.DataFrame) -> None:
    if name == "scores":
        text = part.to_csv(index=False, lineterminator="\n", na_rep="nan")
        paths.scores.write_text(text, encoding="utf-8")
        return
    target = paths.difficulty if name == "difficulty" else paths.histograms
    wide = {"float32": np.float64, "int32": np.int64}
    types = {c: wide[str(t)] for c, t in part.dtypes.items() if str(t) in wide}
    part.astype(types).to_parquet(target, index=False)


def _paths(folder: ResultsFolder, name: Any) -> CellPaths:
    if not isinstance(name, str) or slug(name, limit=200) != name:
        raise RecordError(f"{name!r} cannot be the name of a cell's folder")
    return CellPaths(folder.runs / name)


def _portable(record: dict[str, Any]) -> str:
    """A record as JSON, with file names of its traceback cut to what every machine has."""
    record["traceback"] = _PLACE.sub(r'File "\1"', record["traceback"])
    return _text(record)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _scores(paths: CellPaths) -> pd.DataFrame:
    text = io.StringIO(paths.scores.read_text(encoding="utf-8"))
    return pd.read_csv(text, keep_default_na=False, na_values={"value": ["nan"]})


def _difficulty(paths: CellPaths) -> pd.DataFrame | None:
    if not paths.difficulty.is_file():
        return None
    table = pd.read_parquet(paths.difficulty).reindex(columns=list(_TABLES["difficulty"]))
    values = {c: rounded(table[c].to_numpy(dtype=np.float64)) for c in _DIFFICULTY}
    return table.astype({"step": np.int32}).assign(**values)


def _histograms(paths: CellPaths) -> pd.DataFrame | None:
    """The first and the last two steps: counts are cumulative, and only these are drawn."""
    if not paths.histograms.is_file():
        return None
    table = pd.read_parquet(paths.histograms)
    steps = sorted(table["step"].unique())
    kept = table[table["step"].isin({steps[0], *steps[-2:]})] if steps else table
    return kept.astype({"step": np.int32, "bin_low": np.float32, "count": np.float32})


def rounded(values: np.ndarray[Any, Any], digits: int = DIGITS) -> np.ndarray[Any, Any]:
    """Values to so many significant digits, as float32; what is not finite stays."""
    finite = np.isfinite(values) & (values != 0)
    safe = np.where(finite, values, 1.0)
    scale = 10.0 ** (digits - 1 - np.floor(np.log10(np.abs(safe))))
    return np.where(finite, np.round(safe * scale) / scale, values).astype(np.float32)


def _write(path: Path, table: pa.Table) -> Path:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=19)
    write_atomically(path, buffer.getvalue())
    return path


def _read(path: Path, columns: tuple[str, ...]) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are one or the other
        raise RecordError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    if absent := [c for c in columns if c not in table.column_names]:
        raise RecordError(f"{path} lacks the columns {', '.join(absent)}")
    return table
