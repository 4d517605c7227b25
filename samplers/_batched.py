"""Samplers that say how batches are made up, and leave what is chosen in them to another one."""

from collections.abc import Callable

from torch import Tensor

from nsbench.samplers._inner import inner_sampler, pairing_of
from nsbench.samplers._types import Pairing, Sampler, Selection, SimilarityContext


def check_then(owner: str, text: str) -> None:
    """Raise ``ValueError`` unless ``text`` names a sampler that leaves the batches alone."""
    inner = inner_sampler(owner, "then", text)
    if hasattr(inner, "batcher"):
        raise ValueError(f"{owner}: then is {text!r}, which makes up batches too")
    if not getattr(inner, "trains", True):
        raise ValueError(f"{owner}: then is {text!r}, which does not train")
    if getattr(inner, "guide", ""):
        raise ValueError(
            f"{owner}: then is {text!r}, which names a guide; here only the encoder as it starts "
            "can guide: leave its guide out"
        )


class Batched:
    """A sampler with a parameter ``then``; says of itself what that one says."""

    then: str

    @property
    def _inner(self) -> Sampler:
        return inner_sampler(type(self).__name__, "then", self.then)

    @property
    def objective(self) -> Pairing:
        """As the sampler that chooses."""
        return pairing_of(self._inner, "objective", "info_nce")

    @property
    def pool(self) -> Pairing:
        """As the sampler that chooses."""
        return pairing_of(self._inner, "pool", "in_batch")

    @property
    def requires_pool(self) -> str:
        """As the sampler that chooses."""
        return str(getattr(self._inner, "requires_pool", ""))

    @property
    def needs(self) -> frozenset[str]:
        """As the sampler that chooses."""
        return frozenset(getattr(self._inner, "needs", ()))

    @property
    def stochastic(self) -> bool:
        """As the sampler that chooses."""
        return bool(getattr(self._inner, "stochastic", False))

    @property
    def may_empty(self) -> bool:
        """As the sampler that chooses."""
        return bool(getattr(self._inner, "may_empty", False))

    @property
    def requires_given(self) -> bool:
        """As the sampler that chooses."""
        return bool(getattr(self._inner, "requires_given", False))

    @property
    def synthesize(self) -> Callable[[SimilarityContext], Tensor]:
        """As the sampler that chooses; absent if that makes nothing."""
        made: Callable[[SimilarityContext], Tensor] = self._inner.synthesize  # type: ignore[attr-defined]
        return made

    def __call__(self, context: SimilarityContext, /) -> Selection:
        return self._inner(context)
