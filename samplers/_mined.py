"""Shared by samplers of the pool ``corpus``: all columns, or those mined for the anchor."""

from nsbench.samplers._ranges import in_range
from nsbench.samplers._types import Selection, SimilarityContext


def margin_or_none(owner: str, parameter: str, value: float) -> None:
    """Raise ``ValueError`` unless a margin is in [0, 2], or -1 for none."""
    if value != -1:
        in_range(owner, parameter, value, 0, 2)


class FromCorpus:
    """Base of samplers whose negatives are mined; ``keep`` is ``all`` or ``own``."""

    keep: str

    @property
    def needs(self) -> frozenset[str]:
        """``own_negative``, if only an anchor's own mined columns are kept."""
        return frozenset({"own_negative"} if self.keep == "own" else ())

    @property
    def may_empty(self) -> bool:
        """True if a row may keep nothing."""
        return self.keep == "own"

    def __call__(self, context: SimilarityContext) -> Selection:
        if self.keep == "all":
            return Selection(mask=context.negative_mask)
        return Selection(mask=context.negative_mask & context.require("own_negative"))
