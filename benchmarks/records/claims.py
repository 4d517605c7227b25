"""Claims: a file names the process that runs a cell; its owner renews it, others take it over.

A claim is created whole by a hard link, so none is ever read by half. Its owner writes a beat into
it every few seconds, through the open file: once the claim has been taken over, the beats go
nowhere. Whether an owner still lives is asked of the process table, where it runs on this machine
(boot and process-id namespace agree), and else seen from the beats: a claim that does not change
for `STALE` seconds *of the watcher's own monotonic clock* is stale. No wall clock is compared, so
clocks that differ or jump change nothing.

Two processes that run one cell for a moment (a file system without locks or links) would cost time
only: a cell's files are functions of the cell, and each is replaced whole.
"""

import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from nsbench.benchmarks.files import read_regular_file
from nsbench.samplers._cache import cached

BEAT = 5.0
"""Seconds between two beats."""
STALE = 60.0
"""Seconds without a beat after which a claim of another machine is taken over."""
_LENGTH = 512

_held: set[str] = set()
_watched: dict[Path, tuple[bytes, float]] = {}


@dataclass(frozen=True)
class Owner:
    """Content of a claim.

    Attributes:
        host: Host name, for people.
        machine: Boot and process-id namespace: where ``pid`` means something.
        pid: Process.
        born: When the process began, in ticks since boot: tells it from a later one of its number.
        token: Random, new for every claim.
        since: When the cell was claimed, seconds since 1970 by the owner's clock, for people.
        beat: Beats so far.
        step: Optimizer steps so far.
    """

    host: str
    machine: str
    pid: int
    born: str
    token: str
    since: float
    beat: int = 0
    step: int = 0

    @property
    def who(self) -> str:
        """The process, for people."""
        return f"process {self.pid} on {self.host}"


@cached(1)
def this_machine() -> str:
    """Names the boot and the process-id namespace of this process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return socket.gethostname()
    return f"{boot} {space}"


def process_born(pid: int) -> str:
    """Return when a process began, in ticks since boot; empty if it has ended or is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "" if Path("/proc/self/stat").exists() else _born_elsewhere(pid)
    state, *rest = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]


def _born_elsewhere(pid: int) -> str:
    """The same where there is no /proc: only whether it lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"


def read_owner(path: Path) -> Owner | None:
    """Return what a claim says, or ``None`` if it is not there or cannot be read."""
    try:
        return _parse(read_regular_file(path))
    except OSError:
        return None


def _parse(raw: bytes) -> Owner | None:
    try:
        owner = Owner(**json.loads(raw))
        return replace(owner, pid=int(owner.pid), beat=int(owner.beat), step=int(owner.step))
    except (ValueError, TypeError, RecursionError):
        return None


class Claim:
    """A cell that is ours until `release`; a thread beats meanwhile.

    Attributes:
        path: The claim file.
        step: Optimizer steps so far; shown by ``nsbench status``.
    """

    def __init__(self, path: Path, owner: Owner, handle: int) -> None:
        self.path = path
        self.step = 0
        self._owner = owner
        self._handle = handle
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beats, name="heartbeat", daemon=True)
        self._thread.start()

    def at(self, step: int) -> None:
        """Say how far the cell is."""
        self.step = step

    def _beats(self) -> None:
        beat = 0
        while not self._stop.wait(BEAT):
            beat += 1
            with suppress(OSError):  # a full disk: the file keeps its length, so this is rare
                os.pwrite(self._handle, _text(replace(self._owner, beat=beat, step=self.step)), 0)

    def release(self) -> bool:
        """Give the cell up; False if it had been taken over by then."""
        self._stop.set()
        self._thread.join()
        _held.discard(self._owner.token)
        with suppress(OSError):
            os.close(self._handle)
        return _remove(self.path, self._owner.token)


def acquire(path: Path) -> Claim | None:
    """Claim a cell for this process; ``None`` if another one is running it.

    Raises:
        OSError: If nothing can be written there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = Owner(
        host=socket.gethostname()[:64],
        machine=this_machine(),
        pid=os.getpid(),
        born=process_born(os.getpid()),
        token=secrets.token_hex(8),
        since=round(time.time(), 3),
    )
    _held.add(owner.token)  # before the file is seen, or another thread would call it stale
    try:
        for _ in range(3):
            handle = _create(path, owner)
            if handle is not None:
                return Claim(path, owner, handle)
            if not free(path):
                break
    except BaseException:
        _held.discard(owner.token)
        raise
    _held.discard(owner.token)
    return None


@contextmanager
def claimed(path: Path, what: str) -> Iterator[Claim]:
    """Claim something for the block.

    Args:
        path: The claim file.
        what: Is claimed, for the error.

    Raises:
        ValueError: If another process has it; the message names that one.
        OSError: If nothing can be written there.
    """
    claim = acquire(path)
    if claim is None:
        owner = read_owner(path)
        who = owner.who if owner else "another process"
        raise ValueError(
            f"{what} is being run by {who}. Wait until that has ended; if it died on another "
            f"machine, remove {path}"
        )
    try:
        yield claim
    finally:
        claim.release()


def free(path: Path) -> bool:
    """Remove a stale claim; return whether no process is running the cell.

    A claim of another machine must have been read for `STALE` seconds before it is called stale:
    ask repeatedly.
    """
    try:
        raw = read_regular_file(path)
    except FileNotFoundError:
        _watched.pop(path, None)
        return True
    except OSError:
        return False
    owner = _parse(raw)
    if owner is not None and owner.machine == this_machine():
        if owner.pid == os.getpid():
            stale = owner.token not in _held
        else:
            stale = process_born(owner.pid) != owner.born
    else:
        stale = _unchanged(path, raw)
    return stale and _remove(path, owner.token if owner else "")


def _unchanged(path: Path, raw: bytes) -> bool:
    now = time.monotonic()
    before, since = _watched.get(path, (None, now))
    if before != raw:
        _watched[path] = (raw, now)
        return False
    return now - since >= STALE


def _remove(path: Path, token: str) -> bool:
    """Remove a claim if it is still the one with this token; return whether it was."""
    with _locked(path.parent):
        try:
            owner = _parse(read_regular_file(path))
        except OSError:
            return False
        if (owner.token if owner else "") != token:
            return False
        path.unlink(missing_ok=True)
        _watched.pop(path, None)
        return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone among those who remove claims here; without a lock where the file system has none."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _create(path: Path, owner: Owner) -> int | None:
    """Make the claim file with its content at once; ``None`` if there is one already."""
    fresh = path.with_name(f".claim.{owner.pid}.{owner.token}.tmp")
    handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.write(handle, _text(owner))
        try:
            path.hardlink_to(fresh)
        except FileExistsError:
            os.close(handle)
            return None
        except OSError:  # no hard links here
            return _create_exclusively(path, owner, handle)
        return handle
    except BaseException:
        with suppress(OSError):
            os.close(handle)
        raise
    finally:
        fresh.unlink(missing_ok=True)


def _create_exclusively(path: Path, owner: Owner, unused: int) -> int | None:
    os.close(unused)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return None
    os.write(handle, _text(owner))
    return handle


def _text(owner: Owner) -> bytes:
    """JSON of one length, so that a beat replaces all of the one before."""
    return json.dumps(asdict(owner)).encode().ljust(_LENGTH)
