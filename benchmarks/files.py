"""Files written, read and hashed as wholes: atomic writes, fast reads."""

import hashlib
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


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


_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_AT_ONCE = 1 << 16


def write_atomically(path: Path, data: str | bytes | Iterable[bytes]) -> None:
    """Write to a temporary name in the same folder, flush to disk, then rename over ``path``.

    Args:
        path: The file.
        data: All of it, or pieces in order.

    Raises:
        StorageError: If that cannot be done; ``path`` is then as it was.
    """
    whole = data.encode() if isinstance(data, str) else data
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


def read_bytes(path: str) -> bytes:
    """Return the bytes of a file, in fewer calls than `open` makes: a study may have 200,000.

    Raises:
        OSError: If it cannot be read.
    """
    handle = os.open(path, _READ)
    try:
        parts = [os.read(handle, _AT_ONCE)]
        while parts[-1]:
            parts.append(os.read(handle, _AT_ONCE))
    finally:
        os.close(handle)
    return parts[0] if len(parts) == 2 else b"".join(parts)


def sha256_of(*paths: Path) -> str:
    """Return the SHA-256 over the bytes of files, one after the other, as 64 hex digits."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
