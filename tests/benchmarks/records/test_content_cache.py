"""What cells share changes no byte of them, is made once, and can always be made again."""

import hashlib
import multiprocessing
import os
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import Build, invoked, planned_of, until
from safetensors.numpy import save

from nsbench.benchmarks.records import ResultsFolder, claims
from nsbench.benchmarks.records import cache as content_cache
from nsbench.benchmarks.records.cache import (
    Arrays,
    ContentCache,
    default_folder,
    entries,
    trim,
)
from nsbench.benchmarks.runs import cell_run as run
from nsbench.benchmarks.runs.executors.base import plan_jobs, run_job
from nsbench.benchmarks.runs.garbage import cached
from nsbench.samplers._cache import clear_caches

FILES = ("scores.csv", "training.csv", "difficulty.parquet", "choices.parquet", "probe.parquet")
MINED = {"name": "corpus", "shortage": "fewer", "depth": 5}


def numbers() -> Arrays:
    return {"a": np.arange(5), "b": np.array([True, False]), "c": np.float32(2) * np.ones((2, 3))}


def never() -> Arrays:
    raise AssertionError("it was there already")


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    first = ContentCache(tmp_path).arrays(["x", 1], numbers)
    again = ContentCache(tmp_path)
    found = again.arrays(["x", 1], never)
    assert (again.found, again.made) == (1, 0)
    for name, value in first.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)
    with pytest.raises(AssertionError, match="already"):
        again.arrays(["x", 2], never)


def broken(data: bytes) -> dict[str, bytes]:
    flipped = bytearray(data)
    flipped[-1] ^= 1
    return {"cut": data[:-3], "empty": b"", "garbage": b"\x80\x04.", "one bit": bytes(flipped)}


@pytest.mark.parametrize("how", ["cut", "empty", "garbage", "one bit", "link"])
def test_a_damaged_entry_is_made_anew(how: str, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    ContentCache(folder).arrays(["x"], numbers)
    ((file, _, _),) = entries(folder)
    if how == "link":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    else:
        file.write_bytes(broken(file.read_bytes())[how])
    again = ContentCache(folder)
    again.arrays(["x"], numbers)
    assert (again.found, again.made) == (0, 1)
    assert not file.is_symlink()
    ContentCache(folder).arrays(["x"], never)


@settings(max_examples=25)
@given(
    keys=st.lists(st.integers(0, 10**6) | st.text(), min_size=2, max_size=5, unique_by=repr),
    turn=st.integers(1, 4),
)
def test_entries_that_changed_places_are_made_again(keys: list[Any], turn: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def value(number: int) -> Arrays:
            return {"value": np.full((2, 3), float(number), np.float32)}  # all of one shape

        cache = ContentCache(folder)
        for number, key in enumerate(keys):
            cache.arrays([key], partial(value, number))
        files = [file for file, _, _ in entries(folder)]
        whole = [file.read_bytes() for file in files]
        step = turn % len(files)
        for place, file in enumerate(files):
            file.write_bytes(whole[(place + step) % len(files)])
        again = ContentCache(folder)
        for number, key in enumerate(keys):
            found = again.arrays([key], partial(value, number))
            np.testing.assert_array_equal(found["value"], value(number)["value"])
        assert (again.found, again.made) == ((len(keys), 0) if step == 0 else (0, len(keys)))


def test_an_entry_whose_digest_does_not_cover_its_key_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ContentCache(tmp_path).arrays(["x"], numbers)
    ((file, _, _),) = entries(tmp_path)
    digest = hashlib.sha256()  # over the numbers alone, as entries had it before
    for name, held in sorted(numbers().items()):
        digest.update(f"{name}:{held.dtype}:{held.shape};".encode())
        digest.update(np.ascontiguousarray(held).tobytes())
    file.write_bytes(save(numbers(), {"digest": digest.hexdigest()}))
    again = ContentCache(tmp_path)
    again.arrays(["x"], numbers)
    assert (again.found, again.made) == (0, 1)
    assert caplog.text.count("is made again: its digest is not that of its key") == 1


def test_what_is_made_quickly_is_not_kept(tmp_path: Path) -> None:
    ContentCache(tmp_path, worth=30.0).arrays(["x"], numbers)
    assert entries(tmp_path) == []


def test_a_folder_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = ContentCache(tmp_path / "file" / "below").arrays(["x"], numbers)
    np.testing.assert_array_equal(found["a"], np.arange(5))


def made_or_waited(folder: Path, log: Path, asked: Any) -> None:
    """Ask for an entry; who makes it does so until all have asked for its claim."""
    once = [asked.release]

    def acquire(path: Path) -> claims.Claim | None:
        found = claims.acquire(path)
        while once:
            once.pop()()
        return found

    def make() -> Arrays:
        with log.open("a") as file:
            file.write("made\n")
        until(lambda: asked.get_value() == 4)
        return numbers()

    content_cache.claims = SimpleNamespace(acquire=acquire)  # type: ignore[attr-defined]
    ContentCache(folder).arrays(["x"], make)


def test_of_many_processes_one_makes_it_and_the_others_wait(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    log, asked = tmp_path / "log", context.Semaphore(0)
    words = (tmp_path / "cache", log, asked)
    all_of_them = [context.Process(target=made_or_waited, args=words) for _ in range(4)]
    for process in all_of_them:
        process.start()
    for process in all_of_them:
        process.join()
        assert process.exitcode == 0
    assert log.read_text() == "made\n"
    assert not list((tmp_path / "cache").glob("*.claim"))


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path)
    for name in "abc":
        cache.arrays([name], numbers)
    files = {name: file for name, (file, _, _) in zip("abc", entries(tmp_path), strict=True)}
    size = entries(tmp_path)[0][1]
    for age, file in enumerate(files.values()):
        os.utime(file, (1e9 + age, 1e9 + age))
    first = entries(tmp_path)[0][0]
    os.utime(first)  # used just now
    trim(tmp_path, size)
    assert [file for file, _, _ in entries(tmp_path)] == [first]
    trim(tmp_path, 0)
    assert [file for file, _, _ in entries(tmp_path)] == [first]
    assert [w.path for w in cached(tmp_path)] == [first]


def test_the_folder_is_where_users_look(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NSBENCH_CACHE", "none")
    assert default_folder() is None
    monkeypatch.setenv("NSBENCH_CACHE", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("NSBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "nsbench"


CASES: dict[str, dict[str, Any]] = {
    "named guide": {"samplers": [{"name": "guided", "guide": "static[dimension=8]"}]},
    "first encoder": {"samplers": ["guided"]},
    "mined by a guide": {
        "candidates": [MINED | {"source": "guide", "guide": "static[dimension=8]"}]
    },
    "mined by the first encoder": {"candidates": [MINED | {"refresh": 3}]},
    "bm25": {"candidates": [MINED | {"source": "bm25"}]},
}


@pytest.mark.parametrize("case", CASES)
def test_law_a_cold_and_a_warm_cache_leave_the_same_bytes(
    case: str, small: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "WORTH", 0.0)
    (planned,) = planned_of(small() | CASES[case])
    seen = {}
    for name in ("without", "cold", "warm"):
        clear_caches("nsbench.benchmarks.candidates.corpus")
        clear_caches("nsbench.benchmarks.mining.guides")
        (job,) = plan_jobs([planned], ResultsFolder(tmp_path / name), "cpu", 1)
        shared = None if name == "without" else tmp_path / "cache"
        if name == "warm":
            held = entries(tmp_path / "cache")
            assert held
            monkeypatch.setattr(ContentCache, "_new", lambda *args: never())
        record = run_job(replace(job, cache=shared))
        assert record.status == "done", record.traceback
        files = [(job.paths.folder / file).read_bytes() for file in FILES]
        seen[name] = (files, record.cost, record.weights)
    assert seen["without"] == seen["cold"] == seen["warm"]


def test_gc_lists_and_removes_what_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSBENCH_CACHE", str(tmp_path))
    ContentCache(tmp_path).arrays(["x"], numbers)
    ((file, size, _),) = entries(tmp_path)
    assert f"{size} bytes  last used" in invoked("gc", "--caches").output
    assert file.exists()
    invoked("gc", "--caches", "--delete")
    assert not file.exists()
    wrong = invoked("gc", tmp_path, "--caches", ends=1)
    assert "leave one of them out" in str(wrong.exception)
    assert "name a results folder" in str(invoked("gc", ends=1).exception)
