"""Files written, read and hashed as wholes: atomic writes, fast reads."""

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
"""Errors that say that a file system takes no more bytes; no fault of what was written."""


class StorageError(OSError):
    """A results folder cannot be written; the message says where and why."""

    @classmethod
    def at(cls, path: Path, error: OSError) -> "StorageError":
        """Return an error that names the place and says what to do."""
        if isinstance(error, cls):
            return error
        return cls(
            f"cannot write {path}: {error.strerror or error}. Nothing that was finished is lost: "
            "make room or give leave to write there, then run the same command again"
        )


# O_NONBLOCK: to open a FIFO otherwise waits for its writer.
_READ = os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_AT_ONCE = 1 << 16
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
    stat.S_IFLNK: "a link",
}


class NoFileError(OSError):
    """Something else than a regular file is in the place of one; the message names what."""


def write_atomically(path: Path, data: str | bytes | Iterable[bytes]) -> None:
    """Write to a temporary name in the same folder, flush to disk, then rename over ``path``.

    Raises:
        StorageError: If that cannot be done; ``path`` is then as it was.
    """
    # Names that are no UTF-8 come as half characters, which are written as their escapes.
    whole = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as handle:
            handle.writelines([whole] if isinstance(whole, bytes) else whole)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageError.at(path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A new folder to write into, which takes the place of ``folder`` at the end, or is removed.

    That is missing or empty.

    Raises:
        StorageError: If the file system takes no more; nothing is left behind then.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(folder)
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in FULL
        full |= any(f"os error {n})" in f"{error}" for n in FULL)  # as libraries in Rust say it
        if full:
            cause = error if isinstance(error, OSError) else OSError(f"{error}")
            raise StorageError.at(folder, cause) from None
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_regular_file(path: str | Path) -> bytes:
    """Return the bytes of a file, in fewer calls than `open` makes: a study may have 200,000.

    A FIFO, a device or a folder in its place is never waited for or read.

    Raises:
        NoFileError: If it is no regular file, nor a link to one.
        OSError: If it cannot be read.
    """
    handle = os.open(path, _READ)
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise NoFileError(f"it is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, no file")
        parts = [os.read(handle, _AT_ONCE)]
        while parts[-1]:
            parts.append(os.read(handle, _AT_ONCE))
    finally:
        os.close(handle)
    return parts[0] if len(parts) == 2 else b"".join(parts)


def in_the_way(path: str | Path) -> str:
    """Return what is in the place of a file and is none, such as ``a FIFO``; empty if nothing.

    A link is no file here: nothing is written through one.
    """
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return ""
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "something else")


def sha256_of_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes, as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(*paths: Path) -> str:
    """Return the SHA-256 over the bytes of files, one after the other, as 64 hex digits."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
