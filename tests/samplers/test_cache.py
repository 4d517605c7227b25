import multiprocessing
from threading import Event, Thread

import pytest
from running import HANG

from nsbench.samplers import _cache
from nsbench.samplers._cache import Cache, cached, clear_caches


@pytest.fixture(autouse=True)
def _no_more_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cache, "every", list(Cache.every))


def test_what_was_used_longest_ago_is_dropped() -> None:
    cache: Cache[int] = Cache("test", 2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    cache.put("c", 4)
    assert [cache.get(key) for key in "ac"] == [1, 4]


def test_a_bound_is_a_sum_of_weights_and_too_heavy_a_value_drops_nothing() -> None:
    cache: Cache[str] = Cache("test", 5, weight=len)
    cache.put(1, "aa")
    cache.put(2, "bbb")
    assert cache.put(3, "cccccc") == "cccccc"
    assert [cache.get(key) for key in (3, 2, 1)] == [None, "bbb", "aa"]
    cache.put(4, "d")
    assert [cache.get(key) for key in (1, 2, 4)] == ["aa", None, "d"]


def test_a_function_is_called_once_for_the_same_arguments() -> None:
    calls = []

    @cached(2)
    def double(x: int, plus: int = 0) -> int | None:
        calls.append((x, plus))
        if x < 0:
            raise ValueError(x)
        return 2 * x + plus or None

    assert [double(1), double(1, plus=1), double(1), double(0), double(0)] == [2, 3, 2, None, None]
    assert calls == [(1, 0), (1, 1), (0, 0)]
    double(1, plus=1)
    assert calls[3:] == [(1, 1)]
    for _ in range(2):
        with pytest.raises(ValueError, match="-1"):
            double(-1)
    assert len(calls) == 6
    assert double.__name__ == "double"


def test_caches_are_cleared_by_name() -> None:
    one: Cache[int] = Cache("test.one", 1)
    two: Cache[int] = Cache("test.two", 1)
    one.put("a", 1)
    two.put("a", 2)
    clear_caches("test.one")
    assert (one.get("a"), two.get("a")) == (None, 2)
    _cache.clear_caches("test")
    assert two.get("a") is None


def test_threads_share_a_cache_and_its_bound_holds() -> None:
    cache: Cache[int] = Cache("test", 8)

    def fill() -> None:
        for i in range(2000):
            cache.put(i % 50, i % 50)
            assert cache.get(i % 7) in (i % 7, None)

    threads = [Thread(target=fill) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(cache.get(i) is not None for i in range(50)) == 8


def test_a_forked_process_can_use_a_cache_that_a_thread_of_its_parent_held() -> None:
    cache: Cache[int] = Cache("test", 1)
    held, done = Event(), Event()

    def hold() -> None:
        with cache._lock:
            held.set()
            done.wait()

    thread = Thread(target=hold)
    thread.start()
    held.wait()
    child = multiprocessing.get_context("fork").Process(target=cache.put, args=("a", 1))
    child.start()
    child.join(HANG)
    done.set()
    thread.join()
    assert child.exitcode == 0
