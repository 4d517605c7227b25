"""One batch from the rows of several processes, for trainers that give each its own rows.

Every process computes the loss of the joined batch, and sends gradient through its own rows. A
trainer averages gradients over the processes, as DistributedDataParallel does, so the gradient of
a process's rows is multiplied by their number: the average is the gradient of the joined batch.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from nsbench.benchmarks.contrast.distributed import rows_of_all


def processes() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _Joined(torch.autograd.Function):
    """Concatenate the processes' rows; gradients of local rows are multiplied by their number."""

    @staticmethod
    def forward(context: Any, local: Tensor, sizes: tuple[int, ...], rank: int) -> Tensor:
        context.start, context.rows, context.times = sum(sizes[:rank]), len(local), len(sizes)
        return rows_of_all(local, sizes)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        own = gradients[0][context.start : context.start + context.rows]
        return own * context.times, None, None


def gather_rows(local: Tensor) -> Tensor:
    """Rows of all processes in their order; gradients flow back, see `_Joined`.

    Args:
        local: ``(B, ...)`` of this process; B and the length of two-dimensional integers and
            masks may differ between processes.
    """
    if processes() == 1:
        return local
    flags = local.dtype == torch.bool
    value = local.to(torch.uint8) if flags else local
    rows = _shapes(value)
    sizes = tuple(int(n) for n in rows[:, 0])
    if value.dim() == 2:
        width = int(rows[:, 1].max())
        value = torch.nn.functional.pad(value, (0, width - value.shape[1]))
    out: Tensor = _Joined.apply(value.contiguous(), sizes, dist.get_rank())  # type: ignore[no-untyped-call]  # torch's own
    return out.bool() if flags else out


def _shapes(value: Tensor) -> Tensor:
    """``(P, 2)`` on the host: rows and width in every process."""
    mine = torch.tensor([len(value), value.shape[1] if value.dim() > 1 else 0]).to(value.device)
    parts = [torch.empty_like(mine) for _ in range(processes())]
    dist.all_gather(parts, mine)
    return torch.stack(parts).cpu()


def check_columns(count: int, device: torch.device) -> None:
    """Check that all processes have a batch with as many columns.

    Raises:
        ValueError: If they have not.
    """
    counts = gather_rows(torch.tensor([count], device=device)).tolist()
    if len(set(counts)) > 1:
        raise ValueError(
            f"processes gather batches of {', '.join(map(str, counts))} columns: give all of them "
            "data with the same columns"
        )
