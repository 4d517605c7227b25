"""Trainings that share a process do what each does alone."""

import threading
from collections.abc import Callable

import pytest
import torch
from made_training import CPU, training

from nsbench.benchmarks.training.measures import Trained
from nsbench.benchmarks.training.replay.side_by_side import Work, in_turn
from tools.timing.tape import SOFTWARE, modes

SAMPLERS = ("hard", "random", "mixed")


def test_one_works_at_a_time_and_all_come_round() -> None:
    at_work, seen = threading.Lock(), []

    def counting(name: str, times: int) -> Work[str]:
        def work(pass_on: Callable[[], None]) -> str:
            for step in range(times):
                assert at_work.acquire(blocking=False)
                seen.append(f"{name}{step}")
                at_work.release()
                pass_on()
            return name

        return work

    works = [counting("a", 3), counting("b", 1), counting("c", 2)]
    assert in_turn(works, CPU) == ["a", "b", "c"]
    assert seen == ["a0", "b0", "c0", "a1", "c1", "a2"]
    assert in_turn([], CPU) == []


def test_what_one_raises_is_its_own_and_the_others_go_on() -> None:
    def fails(pass_on: Callable[[], None]) -> int:
        pass_on()
        raise ValueError("mine")

    def works(pass_on: Callable[[], None]) -> int:
        for _ in range(5):
            pass_on()
        return 7

    found = in_turn([works, fails, works], CPU)
    assert found[0] == found[2] == 7
    assert isinstance(found[1], ValueError)


def test_random_numbers_are_those_of_each_alone_and_the_processes_own_are_left() -> None:
    def draws(seed: int) -> Work[list[float]]:
        def work(pass_on: Callable[[], None]) -> list[float]:
            torch.manual_seed(seed)
            out = []
            for _ in range(4):
                out.append(float(torch.rand(())))
                pass_on()
            return out

        return work

    torch.manual_seed(9)
    before = torch.get_rng_state()
    together = in_turn([draws(s) for s in range(3)], CPU)
    assert torch.equal(torch.get_rng_state(), before)
    alone = [in_turn([draws(s)], CPU)[0] for s in range(3)]
    assert together == alone
    assert len({tuple(a) for a in alone if isinstance(a, list)}) == 3


@pytest.mark.parametrize("mode", ["never", SOFTWARE])
def test_law_trainings_side_by_side_equal_each_alone(mode: str) -> None:
    def trains(sampler: str) -> Work[Trained]:
        def work(pass_on: Callable[[], None]) -> Trained:
            under = training("tiny", sampler, views=("dropout",))
            for _ in under:
                pass_on()
            return under.result()

        return work

    with modes(mode):
        together = in_turn([trains(s) for s in SAMPLERS], CPU)
        each = [in_turn([trains(s)], CPU)[0] for s in SAMPLERS]
    for sampler, found, alone in zip(SAMPLERS, together, each, strict=True):
        assert isinstance(found, Trained)
        assert isinstance(alone, Trained)
        for name in ("difficulty", "training", "histograms", "probe", "choices", "texts"):
            assert getattr(found, name).equals(getattr(alone, name)), (sampler, name)
