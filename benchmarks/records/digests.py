"""SHA-256 of a cell's files: written into its record, and compared when a file is read.

A record that holds none, because an older version wrote it, is believed. An unpacked cell holds
less than its record says (see `nsbench.benchmarks.records.packing`): the digests of the files that
were written then lie in `UNPACKED`.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from nsbench.benchmarks.files import in_the_way, read_regular_file, sha256_of, sha256_of_bytes
from nsbench.benchmarks.keys import pretty_json
from nsbench.benchmarks.records.json_file import RecordError

FILES = (
    "cell.json",
    "scores.csv",
    "difficulty.parquet",
    "histograms.parquet",
    "probe.parquet",
    "choices.parquet",
    "texts.parquet",
    "queries.parquet",
    "training.csv",
    "weights.safetensors",
)
"""Files of a cell whose digests its record holds; its log and its claim change later."""
UNPACKED = "unpacked.json"
BLANK = "0" * 64


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each of `FILES` that a folder holds, by name.

    Raises:
        OSError: If one cannot be read.
    """
    paths = (folder / name for name in FILES)
    return {p.name: sha256_of(p) for p in paths if p.is_file() and not in_the_way(p)}


def check_digest(folder: Path | str, name: str, data: bytes, files: Mapping[str, str]) -> None:
    """Compare what was read of a cell's file with what its record says.

    Args:
        folder: The cell's folder.
        name: The file's name in it.
        data: Its bytes.
        files: Digests by name, of its record; a file that it lacks is believed.

    Raises:
        RecordError: If they differ; the message names the file.
    """
    wanted = files.get(name)
    if not wanted:
        return
    found = sha256_of_bytes(data)
    if found not in (wanted, _unpacked(Path(folder)).get(name)):
        raise RecordError(
            f"{folder}/{name} is not the file that its record names: its SHA-256 is "
            f"{found[:12]}..., not {wanted[:12]}...; it was changed or damaged"
        )


def damaged_files(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Return one line for each file of a cell that is missing or not the one of its record."""
    out = []
    for name in sorted(files):
        if name not in FILES:
            continue
        try:
            check_digest(folder, name, read_regular_file(folder / name), files)
        except FileNotFoundError:
            if not (folder / UNPACKED).is_file():  # not all is packed
                out.append(f"{folder / name} is missing, and its record names it")
        except RecordError as error:
            out.append(str(error))
        except OSError as error:
            out.append(f"cannot read {folder / name}: {error}")
    return out


def unpacked_json(files: Mapping[str, bytes]) -> str:
    """Return the text of `UNPACKED` for the files of a cell, by name."""
    return pretty_json({"files": {name: sha256_of_bytes(data) for name, data in files.items()}})


def signed(text: str) -> str:
    """Return the text of a record whose digest is `BLANK` with the SHA-256 of that text."""
    return text.replace(BLANK, sha256_of_bytes(text.encode()))


def is_signed(raw: bytes, digest: str) -> bool:
    """Return whether a record's text gives the digest that it holds, see `signed`."""
    return sha256_of_bytes(raw.replace(digest.encode(), BLANK.encode())) == digest


def _unpacked(folder: Path) -> Mapping[str, str]:
    try:
        found = json.loads(read_regular_file(folder / UNPACKED))["files"]
        return {str(name): str(digest) for name, digest in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
