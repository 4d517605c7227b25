"""Samplers that say how batches are made up, and leave what is chosen in them to another one."""

from nsbench.samplers._inner import Follows, inner_sampler
from nsbench.samplers._types import Pairing, Sampler, Selection, SimilarityContext


def leaves_batches(owner: str, parameter: str, text: str) -> None:
    """Raise ``ValueError`` unless ``text`` names a sampler that leaves the batches alone."""
    inner = inner_sampler(owner, parameter, text)
    if hasattr(inner, "batcher"):
        raise ValueError(f"{owner}: {parameter} is {text!r}, which makes up batches too")
    if not getattr(inner, "trains", True):
        raise ValueError(f"{owner}: {parameter} is {text!r}, which does not train")
    if getattr(inner, "guide", ""):
        raise ValueError(
            f"{owner}: {parameter} is {text!r}, which names a guide; here only the encoder as it "
            "starts can guide: leave its guide out"
        )


class Batched(Follows):
    """A sampler with a parameter ``then``; the others are those of its batcher."""

    then: str

    @property
    def wrapped(self) -> Sampler:
        """The sampler that chooses."""
        return inner_sampler(self.called, "then", self.then)

    @property
    def batcher(self) -> Pairing:
        """Batcher and its parameters; read by the engine."""
        return self.called, {k: v for k, v in vars(self).items() if k != "then"}

    def __call__(self, context: SimilarityContext, /) -> Selection:
        return self.wrapped(context)
