"""One parameter of another sampler moved along the training: hardness as a dial.

Source: ours as a general form. Robinson et al. 2021, HCL, anneal hardness down; Chen et al. 2022,
IFND, trust ever more detections; Xiong et al. 2021, ANCE, warm up before hard negatives.
https://arxiv.org/abs/2010.04592 https://arxiv.org/abs/2106.03719 https://arxiv.org/abs/2007.00808
"""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

from torch import Tensor

from nsbench.samplers import (
    Choice,
    Sampler,
    Selection,
    SimilarityContext,
    in_range,
    one_of,
    register,
)
from nsbench.samplers._inner import Follows, inner_sampler
from nsbench.samplers._schedule import SCHEDULES, interpolate, scheduled


@register("curriculum")
class Curriculum(Follows):
    """Move one parameter of another sampler from start to end as training proceeds.

    Any parameter that the sampler lists in ``schedulable`` can be moved. The defaults go from all
    candidates to the hardest 5 %. Counts are rounded to the nearest whole number.

    Args:
        inner: The sampler, ``name`` or ``name[parameter=value,...]``.
        parameter: Its parameter that moves.
        start: Value at the start, in the parameter's own range.
        end: Value at the end, in the parameter's own range.
        schedule: ``linear``, ``cosine`` (slow at both ends) or ``step`` (at half time).
    """

    inner: str = "band"
    parameter: str = "high"
    start: float = 1.0
    end: float = 0.05
    schedule: Annotated[str, Choice(*SCHEDULES)] = "linear"
    test_configs: ClassVar = (
        {"inner": "hard", "parameter": "k", "start": 8.0, "end": 2.0, "schedule": "cosine"},
        {"inner": "semi_hard", "parameter": "margin", "start": 1.0, "end": 0.1, "schedule": "step"},
        {"inner": "ambiguous[k=3]", "parameter": "b", "start": -0.2, "end": 0.2},
        {"inner": "guided", "parameter": "margin", "start": 0.5, "end": 0.0},
    )

    def __post_init__(self) -> None:
        sampler = inner_sampler("curriculum", "inner", self.inner)
        movable: frozenset[str] = getattr(sampler, "schedulable", frozenset())
        if not movable:
            raise ValueError(f"curriculum: inner is {self.inner!r}, which has nothing to schedule")
        one_of("curriculum", "parameter", self.parameter, movable)
        for name in ("start", "end"):
            self._check_end(sampler, name)

    def _check_end(self, sampler: Sampler, name: str) -> None:
        value = getattr(self, name)
        in_range("curriculum", name, value, -1e6, 1e6)
        whole = isinstance(getattr(sampler, self.parameter), int)
        try:
            type(sampler)(**{**vars(sampler), self.parameter: int(value) if whole else value})
        except ValueError as error:
            raise ValueError(f"curriculum: {name} is {value!r}, but {error}") from None

    @property
    def wrapped(self) -> Sampler:
        """The inner sampler."""
        return inner_sampler("curriculum", "inner", self.inner)

    def at(self, progress: Tensor) -> Sampler:
        """The inner sampler at ``progress``."""
        value = interpolate(self.start, self.end, progress, self.schedule)
        return scheduled(self.wrapped, self.parameter, value)

    @property
    def synthesize(self) -> Callable[[SimilarityContext], Tensor]:
        """As the inner sampler; absent if that makes nothing."""
        if not hasattr(self.wrapped, "synthesize"):
            raise AttributeError(f"{self.inner} makes no candidates")
        return self._synthesize

    def _synthesize(self, context: SimilarityContext) -> Tensor:
        inner: Any = self.at(context.progress)
        made = inner.synthesize(context)
        assert isinstance(made, Tensor)
        return made

    def __call__(self, context: SimilarityContext) -> Selection:
        return self.at(context.progress)(context)
