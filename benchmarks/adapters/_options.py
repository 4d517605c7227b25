"""Options of the loss, and what is checked of them before anything trains."""

from collections.abc import Sequence
from typing import Any, TypedDict

from nsbench.benchmarks.adapters._gather import processes
from nsbench.benchmarks.adapters._identity import unwrapped
from nsbench.samplers import suggest

DIRECTIONS = ("auto", "one", "both")


class LossOptions(TypedDict, total=False):
    """Keyword arguments of `NegativeSamplingLoss`.

    Attributes:
        directions: ``one``: anchors against positives; ``both``: all views against all others;
            ``auto`` (default) what the objective estimates on.
        seed: Of samplers that draw.
        pairs: All known pairs of the training set, ``(anchors, positives)``: without them only
            those of the batch are known to be none.
        guide: A frozen `SentenceTransformer`, for samplers that need one. It reads the texts by
            its own tokenizer and prompts, in eval mode, and moves with the loss.
        steps: Optimizer steps of the training, for curricula; a callback of ours sets it, too.
        mini_batch_size: Texts that the model encodes at once; the gradient is that of the whole
            batch, at the cost of a second pass. 0 (default): the whole batch at once.
        gather_across_devices: Whether the batch is that of all processes.
    """

    directions: str
    seed: int
    pairs: tuple[Sequence[str], Sequence[str]] | None
    guide: Any
    steps: int
    mini_batch_size: int
    gather_across_devices: bool


def check_options(options: LossOptions) -> None:
    """Check options.

    Raises:
        ValueError: If one is out of range.
        TypeError: If there is no such option.
    """
    for name in options:
        if name not in LossOptions.__annotations__:
            raise TypeError(
                f"this loss has no option {name!r}. {suggest(name, LossOptions.__annotations__)}"
            )
    directions = options.get("directions", "auto")
    if directions not in DIRECTIONS:
        raise ValueError(f"directions is {directions!r}: choose {', '.join(DIRECTIONS)}")
    for name in ("steps", "mini_batch_size"):
        value: Any = options.get(name) or 0
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"{name} must be a whole number of at least 0, got {value!r}")


def check_objective(objective: Any, model: Any, *, apart: bool) -> None:
    """Check an objective against the model, if any, and processes, ``apart`` if each has a batch.

    Raises:
        ValueError: If it does not take the model's embeddings, or learns numbers that would drift
            apart.
    """
    check = getattr(objective, "check_dimension", None)
    found = getattr(unwrapped(model), "get_embedding_dimension", None)
    dimension = None if found is None else found()
    if check is not None and dimension:
        check(dimension)
    if apart and processes() > 1 and getattr(objective, "learned", {}):
        raise ValueError(
            f"{objective!r} learns numbers, which would differ between processes that each have "
            "their own batch: set gather_across_devices=True"
        )


def freeze(guide: Any, model: Any) -> None:
    """Take the guide out of the training.

    Raises:
        ValueError: If it shares weights with the model.
    """
    own = {id(p) for p in unwrapped(model).parameters()}
    if any(id(p) in own for p in guide.parameters()):
        raise ValueError("the guide shares weights with the model in training: give a copy of it")
    guide.eval()
    guide.requires_grad_(False)
