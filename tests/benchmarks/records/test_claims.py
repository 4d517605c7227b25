"""Claims: respected while their owner lives, taken over when it is gone, no wall clock asked."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from running import until

from nsbench.benchmarks.records import claims
from nsbench.benchmarks.records.claims import Owner, acquire, free, read_owner


def put(path: Path, owner: Owner) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(owner)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cell" / "claim.json"


@pytest.fixture
def owner(path: Path) -> Owner:
    """A claim as this process would write it, given up again."""
    claim = acquire(path)
    found = read_owner(path)
    assert claim.release()
    assert found is not None
    return found


def test_a_claim_says_who_and_is_gone_after_release(path: Path) -> None:
    claim = acquire(path)
    owner = read_owner(path)
    assert (owner.pid, owner.machine) == (os.getpid(), claims.this_machine())
    assert acquire(path) is None  # also this process asks twice in vain
    assert claim.release()
    assert list(path.parent.iterdir()) == []


def test_a_living_owner_is_respected_and_a_dead_one_is_not(path: Path, owner: Owner) -> None:
    parent = os.getppid()
    put(path, replace(owner, pid=parent, born=claims.process_born(parent)))
    assert not free(path)
    put(path, replace(owner, pid=parent, born="1"))  # the number now belongs to another process
    assert free(path)
    put(path, replace(owner, pid=2**22 + 1))
    claim = acquire(path)
    claim.release()


def test_a_zombie_is_dead(path: Path, owner: Owner) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    put(path, replace(owner, pid=child.pid, born=claims.process_born(child.pid)))
    assert not free(path)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but nobody has taken it in
    assert free(path)
    child.communicate()


def test_a_claim_of_another_machine_is_stale_only_after_no_beat_was_seen(
    path: Path, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(claims.time, "monotonic", lambda: now)
    far = replace(owner, machine="another", since=0.0)  # its wall clock says 1970
    put(path, far)
    assert not free(path)
    now += claims.STALE - 1
    put(path, replace(far, beat=1))
    assert not free(path)  # it has moved
    now += claims.STALE - 1
    assert not free(path)
    now += 2
    assert free(path)
    assert not path.exists()


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_a_wall_clock_that_jumps_changes_nothing(
    path: Path, owner: Owner, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    parent = os.getppid()
    here = replace(owner, pid=parent, born=claims.process_born(parent))
    real = time.time
    monkeypatch.setattr(claims.time, "time", lambda: real() + jump)
    for claim in (here, replace(here, machine="another")):
        put(path, claim)
        assert not free(path)
        assert not free(path)


@pytest.mark.parametrize("rubbish", [b"", b"{", b"[]", b'{"pid": 1}', b"\x00" * 600])
def test_a_garbage_claim_is_watched_and_then_removed(
    path: Path, rubbish: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(claims.time, "monotonic", lambda: now)
    path.parent.mkdir()
    path.write_bytes(rubbish)
    assert not free(path)
    now += claims.STALE
    assert free(path)


def test_beats_are_written_with_the_step(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.01)
    claim = acquire(path)
    claim.at(7)
    until(lambda: (owner := read_owner(path)) and owner.step == 7 and owner.beat > 0)
    claim.release()


def test_beats_of_an_owner_who_lost_the_claim_go_nowhere(
    path: Path, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.01)
    claim = acquire(path)
    path.unlink()
    put(path, replace(owner, token="another's"))
    before, handle = path.read_bytes(), claim._handle
    until(lambda: (lost := claims._parse(os.pread(handle, 512, 0))) and lost.beat > 1)
    assert not claim.release()
    assert path.read_bytes() == before


def test_of_many_who_find_a_stale_claim_one_gets_it(path: Path, owner: Owner) -> None:
    """Each round a dead owner's claim; threads race for it, and one gives it up after the race."""
    held: list[int] = []
    gate = threading.Barrier(8)

    def race() -> None:
        for number in range(15):
            gate.wait()
            claim = acquire(path)
            gate.wait()
            if claim is not None:
                held.append(number)
                claim.release()
            if gate.wait() == 0:
                put(path, replace(owner, pid=2**22 + 1, token="dead"))

    threads = [threading.Thread(target=race) for _ in range(8)]
    put(path, replace(owner, pid=2**22 + 1, token="dead"))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held == list(range(15))


def test_without_hard_links_a_claim_is_still_exclusive(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Any) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    claim = acquire(path)
    assert acquire(path) is None
    assert claim.release()
