"""Progress and draws of a loss: what a curriculum follows, and what a checkpoint has to keep."""

import base64
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook


class _Unknown(Tensor):
    """A number that no one may read."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise ValueError(
            "this sampler or objective follows the progress of the training, and the loss does not "
            "know how long it is: add ProgressCallback(loss) or DifficultyCallback(loss, trainer) "
            "to the trainer, or give the loss steps=N"
        )


UNKNOWN: Tensor = torch.zeros(()).as_subclass(_Unknown)
"""The progress of a training whose length is not known; reading it raises `ValueError`."""

_counted: WeakSet[Any] = WeakSet()


def count_steps(loss: Any) -> None:
    """Let ``loss.step`` count the steps of the optimizer that trains its model."""
    _counted.add(loss)


def _stepped(optimizer: Any, args: Any, kwargs: Any) -> None:
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for loss in _counted:
        if any(id(p) in trained for p in loss.parameters()):
            loss.step += 1


register_optimizer_step_post_hook(_stepped)


class Draws:
    """The generator that a loss's sampler draws from.

    Args:
        seed: Of the draws in training; an evaluation always draws the same.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._generator: torch.Generator | None = None
        self._waiting: tuple[str, Tensor] | None = None

    def on(self, device: torch.device, *, learning: bool) -> torch.Generator:
        """Return the generator of a device.

        Raises:
            ValueError: If a checkpoint holds draws of another kind of device.
        """
        if not learning:
            return torch.Generator(device).manual_seed(self.seed)
        if self._generator is None or self._generator.device != device:
            self._generator = torch.Generator(device).manual_seed(self.seed)
        if self._waiting is not None:
            kind, state = self._waiting
            if kind != device.type:
                raise ValueError(
                    f"the checkpoint holds draws of the device {kind}, and the training resumes on "
                    f"{device.type}: its draws cannot be continued there"
                )
            self._generator.set_state(state)
            self._waiting = None
        return self._generator

    def restart(self) -> None:
        """Draw from the start again."""
        self._generator = self._waiting = None

    def state(self) -> dict[str, str]:
        """Return plain data from which `load` continues."""
        if self._waiting is not None:
            kind, state = self._waiting
        elif self._generator is not None:
            kind, state = self._generator.device.type, self._generator.get_state()
        else:
            return {}
        return {"device": kind, "state": base64.b64encode(state.numpy().tobytes()).decode()}

    def load(self, state: dict[str, str]) -> None:
        """Resume from a `state`."""
        self.restart()
        if state:
            held = bytearray(base64.b64decode(state["state"]))
            self._waiting = state["device"], torch.frombuffer(held, dtype=torch.uint8)
