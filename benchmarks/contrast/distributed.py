"""One cell on several processes: each encodes its part of a batch and repeats everything else.

Every process draws the same batch and the same views, encodes its own rows of them, and gathers
the embeddings of all. From there on, negatives, sampler, loss and statistics are computed on the
whole batch by every process alike, so that anything that one process can run, several can, and a
queue or a memory holds the same everywhere. What is gathered keeps its gradient: each process
sends the part that belongs to its own rows through its encoder, and the sum over the processes is
the gradient of the whole batch, exactly. Encoding is what costs; the rest is done several times.
"""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

PATIENCE = timedelta(seconds=60)
"""Longest wait for other processes to report the same failure."""
_LONG = timedelta(days=7)


class ApartError(RuntimeError):
    """The processes of a cell have diverged."""


def rows_of_all(local: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Rows of all processes in their order, without a gradient; ``sizes`` says how many of each."""
    padded = local.new_zeros(max(sizes), *local.shape[1:])
    padded[: len(local)] = local
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:n] for part, n in zip(parts, sizes, strict=True)])


class _Gather(torch.autograd.Function):
    """Concatenate the processes' rows; every process has the whole loss, so no gradient is sent."""

    @staticmethod
    def forward(context: Any, local: Tensor, sizes: tuple[int, ...], rank: int) -> Tensor:
        context.start, context.rows = sum(sizes[:rank]), len(local)
        return rows_of_all(local, sizes)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0][context.start : context.start + context.rows], None, None


@dataclass(frozen=True)
class Team:
    """The processes that train a cell together; mostly one.

    Attributes:
        rank: This process, from 0; the first one keeps the records.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    def __str__(self) -> str:
        return f"process {self.rank} of {self.size}"

    def own(self, count: int) -> Tensor:
        """``(n,)`` this process's part of ``count`` rows; parts differ by one row at most."""
        return torch.arange(count).tensor_split(self.size)[self.rank]

    def gather(self, local: Tensor, count: int) -> Tensor:
        """``(count, ...)`` rows of all processes, from each its `own`; gradients flow back."""
        if self.size == 1:
            return local
        sizes = tuple(len(p) for p in torch.arange(count).tensor_split(self.size))
        out: Tensor = _Gather.apply(local, sizes, self.rank)  # type: ignore[no-untyped-call]  # torch's own
        return out

    def sum_gradients(self, module: nn.Module) -> None:
        """Replace every parameter's gradient by its sum over the processes; sparse ones stay so."""
        if self.size == 1:
            return
        for parameter in module.parameters():
            if not parameter.requires_grad:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradient = parameter.grad
            if gradient.is_sparse and gradient.device.type == "cuda":  # NCCL knows dense ones only
                dense = gradient.to_dense()
                dist.all_reduce(dense)
                parameter.grad = dense.to_sparse(1)
                continue
            if gradient.is_sparse:
                gradient = gradient.coalesce()
            dist.all_reduce(gradient)
            parameter.grad = gradient

    def collect(self, value: Tensor) -> list[Tensor]:
        """Return a tensor of the host, of one shape, from every process."""
        if self.size == 1:
            return [value]
        parts = [torch.empty_like(value) for _ in range(self.size)]
        dist.all_gather(parts, value.contiguous())
        return parts

    def agree(self, mine: bool) -> bool:
        """Return True if ``mine`` is true in every process."""
        if self.size == 1:
            return mine
        return all(bool(part) for part in self.collect(torch.tensor([int(mine)])))

    def told(self, mine: bool) -> bool:
        """Return the value of the first process."""
        if self.size == 1:
            return mine
        return bool(self.collect(torch.tensor([int(mine)]))[0])

    def announce(self, word: bytes) -> bytes:
        """Send bytes of one length from the first process to all others; return them.

        Raises:
            ApartError: If another process has ended.
        """
        if self.size == 1:
            return word
        held = torch.frombuffer(bytearray(word), dtype=torch.uint8)
        try:
            dist.broadcast(held, 0)
        except RuntimeError as error:
            raise ApartError(f"{self} no longer reaches the others: {error}") from error
        return held.numpy().tobytes()

    def meet(self, error: Exception) -> None:
        """Wait until every process has failed.

        Args:
            error: With which this one has.

        Raises:
            ApartError: If another one has not after `PATIENCE`.
        """
        if self.size == 1:
            return
        try:
            dist.monitored_barrier(timeout=PATIENCE, wait_all_ranks=True)
        except RuntimeError:
            raise ApartError(
                f"{self} failed alone, or another one died: {type(error).__name__}: {error}"
            ) from error

    def same(self, digest: str) -> None:
        """Check that all processes have the same weights.

        Raises:
            ApartError: If they have not.
        """
        words = self.collect(torch.frombuffer(bytearray(digest.encode()), dtype=torch.uint8))
        if any(not torch.equal(word, words[0]) for word in words):
            raise ApartError("the processes ended with different weights")


ALONE = Team()
_VARIABLES = (("WORLD_SIZE", "1"), ("RANK", "0"))
_team = ALONE


def team() -> Team:
    """Return the team of this process."""
    return _team


def launched() -> Team:
    """Return the team that torchrun assigns to this process; alone without torchrun.

    Raises:
        ValueError: If its variables are invalid.
    """
    size, rank = (os.environ.get(name, default) for name, default in _VARIABLES)
    if not (size.isdigit() and rank.isdigit() and int(rank) < max(1, int(size))):
        raise ValueError(f"WORLD_SIZE is {size!r} and RANK {rank!r}: start this with torchrun")
    return ALONE if int(size) <= 1 else Team(int(rank), int(size))


def join(wanted: Team, device: str) -> None:
    """Connect this process with its team; of several GPUs each process takes its own."""
    # Before there is a group: these functions keep the group of the time of their import as a
    # default. Imported later, by transformers, they hold its threads until Python ends, and a
    # thread that asks for Python then aborts the process.
    import torch.distributed.nn.functional

    global _team
    cuda = device != "cpu" and torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_LONG)
    _team = wanted


def leave() -> None:
    """Leave the team."""
    global _team
    if _team.size > 1:
        dist.destroy_process_group()
    _team = ALONE
