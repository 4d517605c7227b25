"""Numbers of an objective that the optimizer moves together with the encoder."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from nsbench.samplers import Objective


class Numbers(nn.Module):
    """The learned numbers of an objective; none for most."""

    def __init__(self, objective: Objective, device: torch.device) -> None:
        super().__init__()
        self.objective = objective
        start = dict(getattr(objective, "learned", {}))
        self.values = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(float(v), device=device)) for name, v in start.items()}
        )

    def bound(self) -> Objective:
        """The objective with its numbers as they stand, live."""
        if not len(self.values):
            return self.objective
        bind: Any = self.objective
        out: Objective = bind.bind(dict(self.values.items()))
        return out

    def seen(self) -> dict[str, Tensor]:
        """``{learned_name: 0-dim}`` as they stand: the logarithm of a temperature, a bias."""
        return {f"learned_{name}": value.detach().clone() for name, value in self.values.items()}

    def added_to(self, module: nn.Module) -> nn.Module:
        """Everything the optimizer moves: the module, and these numbers where there are any."""
        return _Beside(module, self) if len(self.values) else module


class _Beside(nn.Module):
    """A module and numbers for one optimizer, the module's parameters under their own names."""

    def __init__(self, module: nn.Module, numbers: Numbers) -> None:
        super().__init__()
        self.module, self.numbers = module, numbers

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        yield from self.module.named_parameters(prefix, recurse, remove_duplicate)
        yield from self.numbers.named_parameters("learned", recurse, remove_duplicate)
