"""A tape does again what was done, and refuses what a device would have to wait for."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from nsbench.benchmarks.training.replay.graphs import WaitError, Watch
from tools.timing.tape import Tape


def test_a_tape_does_it_again_with_what_its_inputs_hold_now() -> None:
    given, kept = torch.arange(6.0), torch.zeros(6)

    def run() -> Tensor:
        kept.add_(given)
        sorted_, order = given.view(2, 3).sort(dim=1, descending=True)
        return sorted_.T.contiguous() * order.T

    tape = Tape()
    out = tape.record(run)
    given.copy_(torch.tensor([3.0, 9.0, 1.0, 2.0, 2.0, 7.0]))
    tape.replay()
    ordered, order = given.view(2, 3).sort(dim=1, descending=True)
    assert torch.equal(out, ordered.T * order.T)
    assert torch.equal(kept, torch.arange(6.0) + given)
    assert "aten.sort.default" in tape.names


def test_what_python_decided_stays_as_it_was() -> None:
    number, weight = [2.0], torch.ones(3)

    def run() -> Tensor:
        return weight * number[0]

    tape = Tape()
    out = tape.record(run)
    number[0] = 5.0
    weight.fill_(10.0)
    tape.replay()
    assert out.tolist() == [20.0] * 3


def test_a_replayed_training_is_the_training_with_its_draws() -> None:
    def trained(replayed: bool) -> list[Tensor]:
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.LayerNorm(8), nn.Linear(8, 2))
        draw = torch.Generator().manual_seed(5)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True, capturable=True)
        x, tape, losses = torch.zeros(16, 4), Tape(), []

        def run() -> Tensor:
            noise = torch.randn(x.shape, generator=draw)
            loss = functional.cross_entropy(model(x + noise), (x[:, 0] > 0).long())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return loss.detach()

        for step in range(8):
            x.copy_(torch.sin(torch.arange(64.0) * (step + 1)).view(16, 4))
            if not replayed or step < 2:
                losses.append(run())
            elif step == 2:
                last = tape.record(run)
                losses.append(last.clone())
            else:
                tape.replay()
                losses.append(last.clone())
        return [torch.stack(losses), *(p.detach() for p in model.parameters())]

    pairs = list(zip(trained(True), trained(False), strict=True))
    assert len({round(v, 6) for v in pairs[0][0].tolist()}) == 8
    assert all(torch.equal(a, b) for a, b in pairs)


X = torch.arange(4.0)
WAITS: dict[str, Callable[[], object]] = {
    "on the host": lambda: X.sum().item(),
    "numbers of the device": lambda: X.nonzero(),
    "under it": lambda: X[X > 1],
    "by a mask": lambda: X.clone().index_put_((X > 1,), torch.zeros(2)),
    "Python's numbers": lambda: torch.tensor([1.0, 2.0]),
    "Python's number is": lambda: X.clone().__setitem__(1, 4),
    "sparse": lambda: (
        functional.embedding(torch.tensor(1), nn.Parameter(torch.zeros(3, 2)), sparse=True)
        .sum()
        .backward()
    ),
}


@pytest.mark.parametrize("why", WAITS)
def test_what_would_wait_is_refused_and_named(why: str) -> None:
    with pytest.raises(WaitError, match=why):
        Tape().record(WAITS[why])


def test_a_number_that_goes_along_with_an_operation_is_fine() -> None:
    kept = torch.zeros(3)

    def run() -> Tensor:
        kept[1:2] = 4
        return torch.where(kept > 0, kept, 0.5)

    assert Tape().record(run).tolist() == [0.5, 4.0, 0.5]


def test_a_move_between_devices_is_seen() -> None:
    with FakeTensorMode(), Watch() as watch:
        there = torch.ones(3, device="meta")
        there.add(torch.ones(3).to("meta"))
        there.add(1.0)
        there[torch.arange(2)]
    assert len(watch.waits) == 2
    assert "moves a tensor between cpu and meta" in watch.waits[0]
    assert "brings its index to meta" in watch.waits[1]
