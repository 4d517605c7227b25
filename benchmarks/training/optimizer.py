"""The optimizer of an encoder, its schedule, and clipping that knows sparse tables."""

import math
from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import Tensor, nn

SCHEDULES = ("linear", "constant", "cosine")


def schedule(kind: str, step: int, steps: int, warmup: float) -> float:
    """Return the factor on the peak learning rate at ``step`` of ``steps``.

    Args:
        kind: ``linear`` or ``cosine`` decay to 0, or ``constant``.
        step: 0-based.
        steps: Planned steps.
        warmup: Share of the steps with linear warm-up, in [0, 1].
    """
    ramp = math.ceil(warmup * steps)
    if step < ramp:
        return (step + 1) / ramp
    if kind == "constant" or steps <= ramp:
        return 1.0
    done = (step - ramp) / (steps - ramp)
    return 1.0 - done if kind == "linear" else 0.5 * (1 + math.cos(math.pi * done))


def summed(gradient: Tensor) -> Tensor:
    """Return a sparse gradient with one entry per row, in ascending order.

    Rows that ascend already, as those of a single pass do, are not sorted and copied again.
    """
    if gradient.is_coalesced():
        return gradient
    rows, values = gradient._indices(), gradient._values()
    if bool((rows[0, 1:] > rows[0, :-1]).all()):
        return torch.sparse_coo_tensor(
            rows, values, gradient.shape, is_coalesced=True, check_invariants=False
        )
    return gradient.coalesce()


class RowAdam:
    """Adam that reads and writes only the rows a sparse gradient names.

    The rule of `torch.optim.SparseAdam` (moments of other rows wait, the bias correction counts
    all steps) in a third of its passes over memory. It has the methods of torch's optimizers that
    are used here and does not derive from them: making one of those imports torch's compiler,
    which takes a second that a static encoder has no use for.

    Source: Kingma and Ba 2015, Adam, algorithm 1. https://arxiv.org/abs/1412.6980

    Args:
        params: Tables ``(V, d)`` whose gradients are sparse over rows.
        lr: Learning rate.
    """

    betas = (0.9, 0.999)  # decay of the first and second moment
    eps = 1e-8  # added to the root of the second moment

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 1e-3) -> None:
        group = {"params": list(params), "lr": lr}
        self.param_groups: list[dict[str, Any]] = [group]
        self._state: dict[int, dict[str, Any]] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Move the rows that were named of every table that has a gradient."""
        for number, table in enumerate(self.param_groups[0]["params"]):
            if table.grad is None:
                continue
            state = self._state.setdefault(number, {})
            if not state:
                state["exp_avg"] = torch.zeros_like(table)
                state["exp_avg_sq"] = torch.zeros_like(table)
            self._move(table, state, self.param_groups[0])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients."""
        for table in self.param_groups[0]["params"]:
            table.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` takes: moments and steps, by number of the table."""
        return {"state": dict(self._state), "param_groups": []}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a `state_dict`."""
        tables = self.param_groups[0]["params"]
        self._state = {
            number: {
                name: value.to(tables[number].device, copy=True)
                if isinstance(value, Tensor)
                else value
                for name, value in held.items()
            }
            for number, held in state_dict["state"].items()
        }

    def _move(self, table: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Move one table by its sparse gradient."""
        low, high = self.betas
        step = state["step"] = state.get("step", 0) + 1
        gradient = summed(table.grad)
        rows, values = gradient.indices()[0], gradient.values()
        first = state["exp_avg"].index_select(0, rows).lerp_(values, 1 - low)
        second = state["exp_avg_sq"].index_select(0, rows).mul_(high)
        second.addcmul_(values, values, value=1 - high)
        state["exp_avg"].index_copy_(0, rows, first)
        state["exp_avg_sq"].index_copy_(0, rows, second)
        rate = group["lr"] * math.sqrt(1 - high**step) / (1 - low**step)
        change = first.div_(second.sqrt_().add_(self.eps))
        # One row at a time, as `index_add_` would do it, this takes longer than to read and write.
        table.index_copy_(0, rows, table.index_select(0, rows).add_(change, alpha=-rate))


class NamedRowAdam(RowAdam):
    """The rule of `RowAdam` for a dense gradient: rows that no token named wait.

    Every step reads and writes the whole table, in operations of constant shapes, so that it can be
    recorded and replayed. For devices, whose memory is fast. Its tables have an attribute
    ``named``: ``(V,)`` float, above 0 where a token of the batch named the row, which is set back
    to 0. Its rate may be a 0-dim float32 tensor on the device.
    """

    def _move(self, table: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        low, high = self.betas
        if "count" not in state:
            state["count"] = torch.zeros((), device=table.device)
        state["count"] += 1
        first, second, gradient = state["exp_avg"], state["exp_avg_sq"], table.grad
        named = (table.named > 0).to(table.dtype)[:, None]
        first.add_((gradient - first) * (named * (1 - low)))
        second.mul_(1 - named * (1 - high))
        second.addcmul_(gradient * named, gradient, value=1 - high)
        left = [-torch.expm1(state["count"] * math.log(beta)) for beta in (low, high)]
        rate = group["lr"] * left[1].sqrt() / left[0]
        table.sub_(first / (second.sqrt() + self.eps) * (named * rate))
        table.named.zero_()


class Optimizer:
    """AdamW on dense weights, lazy Adam on sparse embedding tables, one schedule for both.

    A row of a sparse table moves only in steps whose batch holds its token, so a step costs in
    proportion to the batch and not to the vocabulary. Biases and normalisation weights get no
    weight decay; sparse tables get none either.

    Args:
        module: The encoder.
        learning_rate: Peak rate.
        weight_decay: Decoupled decay of dense weight matrices.
        clip: Largest norm of the whole gradient; 0 for no clipping.
        sparse: Names of parameters whose gradients are sparse over rows.
        fixed: Whether shapes and places must stay the same from step to step and no number is read
            on the host, as recorded steps need it; sparse tables then have dense gradients.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        learning_rate: float,
        weight_decay: float,
        clip: float,
        sparse: Collection[str] = (),
        fixed: bool = False,
    ) -> None:
        self.peak, self.clip, self.fixed = learning_rate, clip, fixed
        first = next(iter(module.parameters()), None)
        device = torch.device("cpu") if first is None else first.device
        self.rate = torch.zeros((), device=device)  # where a recorded step reads it
        moved = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        tables = [p for n, p in moved if n in sparse]
        dense = [(n, p) for n, p in moved if n not in sparse]
        plain = [p for n, p in dense if p.dim() < 2 or "norm" in n.lower()]
        decayed = [p for n, p in dense if not (p.dim() < 2 or "norm" in n.lower())]
        self.parameters = tables + plain + decayed
        self._parts: list[torch.optim.Optimizer | RowAdam] = []
        if tables:
            self._parts.append((NamedRowAdam if fixed else RowAdam)(tables, lr=learning_rate))
        if dense:
            groups = [
                {"params": decayed, "weight_decay": weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ]
            made = torch.optim.AdamW(groups, lr=learning_rate, fused=True, capturable=fixed)
            # It warns of steps that are not recorded, as the first ones of every shape.
            made._warned_capturable_if_run_uncaptured = True
            self._parts.append(made)

    def step(self, factor: Tensor) -> Tensor:
        """Clip, move the weights at ``factor`` times the peak rate, and clear the gradients.

        Args:
            factor: 0-dim float64.

        Returns:
            0-dim norm of the gradient before clipping.
        """
        norm = self._clip()
        if self.fixed:
            self.rate.copy_(factor * self.peak)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = self.rate if self.fixed else self.peak * float(factor)
            part.step()
            part.zero_grad(set_to_none=True)
        return norm

    def state(self) -> list[Any]:
        """Return everything a resumed cell needs."""
        return [part.state_dict()["state"] for part in self._parts]

    def load(self, state: list[Any]) -> None:
        """Resume from a `state`."""
        for part, held in zip(self._parts, state, strict=True):
            part.load_state_dict({"state": held, "param_groups": part.state_dict()["param_groups"]})

    def _clip(self) -> Tensor:
        values = list(self._values())
        if not values:
            return torch.zeros(())
        norm: Tensor = torch.nn.utils.get_total_norm(values)
        if self.clip > 0:
            factor = (self.clip / (norm + 1e-6)).clamp(max=1.0)
            for value in values:
                value.mul_(factor)
        return norm

    def _values(self) -> Iterable[Tensor]:
        """Yield the numbers of every gradient; sparse ones are summed by row first."""
        for p in self.parameters:
            if p.grad is None:
                continue
            if p.grad.is_sparse:
                p.grad = summed(p.grad)
                yield p.grad.values()
            else:
                yield p.grad
