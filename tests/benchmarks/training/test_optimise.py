import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from nsbench.benchmarks.encoders.static import StaticEncoder
from nsbench.benchmarks.training.optimizer import RowAdam, summed


def _train(optimizer: Callable[..., Any], steps: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    table = nn.Parameter(torch.randn(50, 4, generator=generator))
    target = torch.randn(50, 4, generator=generator)
    moved = optimizer([table], lr=0.1)
    for _ in range(steps):
        ids = torch.randint(0, 30, (8,), generator=generator)
        found = functional.embedding(ids, table, sparse=True)
        ((found - target[ids]) ** 2).sum().backward()
        moved.step()
        moved.zero_grad(set_to_none=True)
    return table.detach()


def test_row_adam_moves_tables_as_torchs_sparse_adam_does() -> None:
    ours, theirs = _train(RowAdam, 20), _train(torch.optim.SparseAdam, 20)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert not torch.equal(ours[:30], _train(RowAdam, 0)[:30])
    assert torch.equal(ours[30:], _train(RowAdam, 0)[30:]), "rows no batch held stay"


def test_a_resumed_row_adam_goes_on_as_if_it_had_not_stopped() -> None:
    def steps(table: nn.Parameter, moved: RowAdam, numbers: range) -> None:
        for number in numbers:
            ids = torch.tensor([number % 7, number % 3])
            found = functional.embedding(ids, table, sparse=True)
            ((found - 1) ** 2).sum().backward()
            moved.step()
            moved.zero_grad()

    whole, first = nn.Parameter(torch.zeros(7, 2)), nn.Parameter(torch.zeros(7, 2))
    steps(whole, RowAdam([whole], lr=0.1), range(9))
    before = RowAdam([first], lr=0.1)
    steps(first, before, range(4))
    second = nn.Parameter(first.detach().clone())
    after = RowAdam([second], lr=0.1)
    after.load_state_dict(before.state_dict())
    steps(first, before, range(4, 6))  # a copy was taken: this moves nothing of the other
    steps(second, after, range(4, 9))
    assert torch.equal(second, whole)


def test_a_static_encoder_is_trained_without_torchs_compiler() -> None:
    code = """
import sys
import torch
from nsbench.benchmarks.encoders.static import StaticEncoder
from nsbench.benchmarks.training.optimizer import Optimizer

encoder = StaticEncoder(torch.ones(4, 2), None, max_length=3, dropout=0.0)
moved = Optimizer(
    encoder, learning_rate=0.1, weight_decay=0.0, clip=1.0, sparse=encoder.sparse
)
ids = torch.ones(1, 3, dtype=torch.long)
encoder(encoder.plain_view(ids, ids > 0)).sum().backward()
moved.step(torch.ones((), dtype=torch.float64))
assert float(encoder.table[1, 0]) < 1
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("rows", [[0, 2, 5], [5, 0, 2], [0, 2, 2], [2, 0, 2], [4], []])
def test_a_sparse_gradient_is_summed_by_rows_in_ascending_order(rows: list[int]) -> None:
    values = torch.arange(1.0, 1 + 2 * len(rows)).reshape(-1, 2)
    ids = torch.tensor([rows], dtype=torch.int64)
    gradient = torch.sparse_coo_tensor(ids, values, (6, 2), check_invariants=True)
    plain = gradient.coalesce()  # first: what is summed may be told so in place
    found = summed(gradient)
    assert found.is_coalesced()
    assert torch.equal(found.indices(), plain.indices())
    assert torch.equal(found.values(), plain.values())


@pytest.mark.parametrize("dropped", [False, True])
def test_the_gradient_of_a_static_table_is_that_of_a_plain_mean(dropped: bool) -> None:
    generator = torch.Generator().manual_seed(5)
    encoder = StaticEncoder(
        torch.randn(20, 6, generator=generator), None, max_length=9, dropout=0.0
    )
    ids = torch.randint(0, 20, (7, 9), generator=generator)
    mask = torch.arange(9) < torch.randint(1, 10, (7, 1), generator=generator)
    view = encoder.plain_view(ids, mask)
    scale = torch.ones(7, 9, 1)
    if dropped:
        scale = (torch.rand(7, 9, 1, generator=generator) > 0.3).float()
        view = view.scaled(scale)
    weight = torch.randn(7, 6, generator=generator)
    (encoder(view) * weight).sum().backward()
    assert encoder.table.grad._nnz() == len(ids[mask].unique()), "a row for each distinct token"
    plain = encoder.table.detach().clone().requires_grad_()
    states = plain[ids] * scale * mask[:, :, None]
    mean = states.sum(dim=1) / mask.sum(dim=1, keepdim=True)
    (mean * weight).sum().backward()
    torch.testing.assert_close(encoder.table.grad.to_dense(), plain.grad)
