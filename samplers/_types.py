"""The types of every sampler: its input, its answer, and the sampler itself.

Shapes are written behind every tensor: B anchors, N candidates, d dimensions. Similarity is always
cosine, higher is closer. Rank 0 is the hardest (most similar) candidate.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

Pairing = str | tuple[str, Mapping[str, Any]]
"""An objective or pool that a sampler is paired with: a name, or a name with its parameters."""

TEMPERATURE = 0.05
"""Default temperature, SimCSE's."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Parts of a random context for tests, from which `Extra.example` fills an extra.

    Attributes:
        anchors: ``(B, d)`` normalised.
        candidates: ``(N, d)`` normalised.
        similarity: ``(B, N)`` their cosine.
        own: ``(B, N)`` bool, True at each anchor's own positive.
        draw: Source of random numbers.
    """

    anchors: Tensor
    candidates: Tensor
    similarity: Tensor
    own: Tensor
    draw: torch.Generator

    def uniform(self) -> Tensor:
        """``(B, N)`` uniform numbers in [0, 1)."""
        return torch.rand(self.similarity.shape, generator=self.draw)

    def by_guide(self) -> Tensor:
        """``(B, N)`` noisy similarity, 0.6 at positives."""
        return (0.7 * self.similarity + 0.3 * (2 * self.uniform() - 1)).masked_fill(self.own, 0.6)

    def support(self) -> Tensor:
        """``(B, N)`` largest cosine to the anchor or to a nearby other view of it."""
        noise = torch.randn(self.anchors.shape, generator=self.draw)
        view = functional.normalize(self.anchors + 0.2 * noise, dim=-1)
        return torch.maximum(self.similarity, (view @ self.candidates.T).clamp(-1, 1))

    def same_cluster(self) -> Tensor:
        """``(2, B, N)`` bool of random labels at two levels."""
        batch, columns = self.similarity.shape
        labels = torch.randint(0, 4, (2, batch + columns), generator=self.draw)
        return labels[:, :batch, None] == labels[:, None, batch:]

    def per_anchor(self) -> Tensor:
        """``(B,)`` uniform numbers in [0, 1)."""
        return torch.rand(self.own.shape[0], generator=self.draw)

    def per_candidate(self) -> Tensor:
        """``(N,)`` uniform numbers in [0, 1)."""
        return torch.rand(self.own.shape[1], generator=self.draw)

    def points(self, count: int) -> Tensor:
        """``(count, d)`` points on the sphere."""
        drawn = torch.randn(count, self.anchors.shape[1], generator=self.draw)
        return functional.normalize(drawn, dim=-1)


@dataclass(frozen=True)
class Extra:
    """An optional field of a context, built only if the ``needs`` of a sampler names it.

    `training.extras` says how it is built.

    Attributes:
        axes: A letter per dimension: B anchors, N candidates, d, M levels, K clusters, L texts.
        example: Fills it in tests.
        made: Its value for synthetic candidates; ``None`` leaves it without columns for them.
        of_data: Whether it takes the whole training data, and not the batch alone.
        arithmetic: Raised when its value changes: cells that read it get new keys.
        of_specials: Whether only encoders with special tokens got new values by that.
    """

    axes: str
    example: Callable[[Sample], Tensor]
    made: float | None = None
    of_data: bool = False
    arithmetic: int = 1
    of_specials: bool = False


def _extra(axes: str, example: Callable[[Sample], Tensor], **more: Any) -> Any:
    return field(default=None, metadata={"extra": Extra(axes, example, **more)})


def places(order: Tensor) -> Tensor:
    """Return the place of each entry in an order along the last dimension (its inverse)."""
    place = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, place)


@dataclass(frozen=True, eq=False)
class SimilarityContext:
    """Input of a sampler. All tensors are detached and on one device.

    Attributes:
        similarity: ``(B, N)`` cosine of anchor and candidate in [-1, 1], float32.
        positive: ``(B,)`` int64 column of each anchor's own positive.
        negative_mask: ``(B, N)`` bool, True where the candidate may become a negative. The anchor
            itself, its positive, other known positives and texts equal to any of them after
            normalisation are False already.
        progress: 0-dim float tensor, finished share of the training, in [0, 1].
        generator: The only source of randomness; ``None`` means torch's global generator.
        temperature: Temperature of the objective, for samplers that think in logits; > 0.
        synthetic: ``(N,)`` bool, True for columns that were made, not read. ``None``: none was.
        anchors: Extra. ``(B, d)`` normalised anchor embeddings.
        candidates: Extra. ``(N, d)`` normalised candidate embeddings.
        guide_similarity: Extra. ``(B, N)`` cosine by a second, frozen model.
        truth: Extra. ``(B, N)`` bool, True where the candidate is known to mean the same as the
            anchor (labels, planted meaning, qrels).
        token_overlap: Extra. ``(B, N)`` Jaccard overlap of token sets with the nearer of anchor
            and positive, in [0, 1].
        support_similarity: Extra. ``(B, N)`` largest cosine of the candidate to any view of the
            anchor.
        cluster_match: Extra. ``(M, B, N)`` bool, True where both fell into the same trusted
            cluster at level m.
        own_negative: Extra. ``(B, N)`` bool, True where the candidate was given, or mined, as this
            anchor's own negative.
        rows: Extra. ``(N,)`` int64 row of the training data behind each candidate, -1 if none.
        frequency: Extra. ``(N,)`` float32 share of the training rows that hold the candidate's
            text, in (0, 1]; 1 for candidates that were made.
        of_positive: Extra. ``(N,)`` bool, True where the candidate is compared with the anchor's
            positive in the anchor's place.
        grade: Extra. ``(B,)`` float32 score that the data give an anchor and its positive; the
            higher, the more alike.
        memory: Extra. ``(B,)`` float32 number that the objective kept for the anchor's row when it
            was last trained on.
        lower: Extra. ``(L, d)`` normalised embeddings of both views of the batch's texts by the
            layer below the last.
        own_score: Extra. ``(N,)`` float32 score, by a cross-encoder, of a candidate with the anchor
            that it was given to or mined for; 0 for other candidates.
        centres: Extra. ``(K, d)`` centres of clusters that follow the anchors; all 0 as long as
            there are none.
    """

    similarity: Tensor
    positive: Tensor
    negative_mask: Tensor
    progress: Tensor = field(default_factory=lambda: torch.zeros(()))
    generator: torch.Generator | None = None
    temperature: float = TEMPERATURE
    synthetic: Tensor | None = None
    anchors: Tensor | None = _extra("Bd", lambda s: s.anchors)
    candidates: Tensor | None = _extra("Nd", lambda s: s.candidates)
    guide_similarity: Tensor | None = _extra("BN", Sample.by_guide, made=-1.0)
    support_similarity: Tensor | None = _extra("BN", Sample.support, made=-1.0)
    token_overlap: Tensor | None = _extra(
        "BN",
        lambda s: s.uniform().masked_fill(s.own, 1.0),
        made=0.0,
        arithmetic=2,  # 1 counted special tokens
        of_specials=True,
    )
    truth: Tensor | None = _extra(
        "BN", lambda s: (s.uniform() < 0.1) | s.own, made=False, of_data=True
    )
    cluster_match: Tensor | None = _extra(
        "MBN",
        Sample.same_cluster,
        made=False,
        of_data=True,
        arithmetic=2,  # the refreshes of 1 did not reach the end of the schedule
    )
    own_negative: Tensor | None = _extra("BN", lambda s: s.uniform() < 0.2, made=False)
    rows: Tensor | None = _extra("N", lambda s: torch.arange(s.own.shape[1]), made=-1, of_data=True)
    frequency: Tensor | None = _extra(
        "N", lambda s: 0.001 + 0.999 * s.per_candidate(), made=1.0, of_data=True
    )
    of_positive: Tensor | None = _extra(
        "N", lambda s: (s.per_candidate() < 0.3) & ~s.own.any(dim=0), made=False
    )
    grade: Tensor | None = _extra("B", Sample.per_anchor, of_data=True)
    memory: Tensor | None = _extra("B", Sample.per_anchor, of_data=True)
    lower: Tensor | None = _extra("Ld", lambda s: s.points(6), of_data=True)
    own_score: Tensor | None = _extra("N", Sample.per_candidate, made=0.0, of_data=True)
    centres: Tensor | None = _extra("Kd", lambda s: s.points(4), of_data=True)

    @property
    def positive_similarity(self) -> Tensor:
        """``(B,)`` cosine of each anchor and its positive."""
        return self.similarity.gather(1, self.positive[:, None]).squeeze(1)

    @property
    def eligible(self) -> Tensor:
        """``(B, 1)`` int64 number of candidates an anchor may choose from."""
        return self.negative_mask.sum(dim=1, keepdim=True)

    def uniform(self) -> Tensor:
        """``(B, N)`` fresh uniform numbers in [0, 1) from the context's generator."""
        return torch.rand(
            self.similarity.shape, generator=self.generator, device=self.similarity.device
        )

    def require(self, name: str) -> Tensor:
        """Return the extra field ``name``.

        Raises:
            ValueError: If the context was built without it.
        """
        value = getattr(self, name)
        if value is None:
            raise ValueError(
                f"this sampler needs context.{name}, which was not built; name it in `needs`"
            )
        assert isinstance(value, Tensor)
        return value

    def ranks(self, similarity: Tensor | None = None) -> Tensor:
        """Rank of every candidate among the eligible ones of its row.

        Args:
            similarity: ``(B, N)`` score to rank by, default the context's own similarity.

        Returns:
            ``(B, N)`` int64, 0 = hardest. Ties go to the lower column. Candidates that may not be
            chosen rank behind all that may.
        """
        score = self.similarity if similarity is None else similarity
        score = score.masked_fill(~self.negative_mask, -torch.inf)
        return places(score.argsort(dim=1, descending=True, stable=True))

    def replace(self, **changes: Any) -> "SimilarityContext":
        """A copy with some fields changed."""
        return replace(self, **changes)

    def map(self, change: Callable[[Tensor], Tensor]) -> "SimilarityContext":
        """A copy with ``change`` applied to every tensor field."""
        changed: dict[str, Any] = {
            f.name: change(value)
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        return replace(self, **changed)


EXTRAS: dict[str, Extra] = {
    f.name: f.metadata["extra"] for f in fields(SimilarityContext) if f.metadata
}
"""Extras by name."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Candidates that act as negatives, and their weights.

    Attributes:
        mask: ``(B, N)`` bool, True where the candidate is a negative; or ``(M, B, N)`` when the
            sampler answers at M levels at once (the objective is then averaged over levels).
        log_weight: Optional, ``mask``'s shape: added to the logits. Importance weights, and the
            log of a count for sampling with replacement, are the same thing. Detached unless the
            method says otherwise.
        attract: Optional ``(B, N)`` or ``(M, B, N)`` bool: candidates to be treated as further
            positives. Disjoint from ``mask``.
    """

    mask: Tensor
    log_weight: Tensor | None = None
    attract: Tensor | None = None

    def parts(self) -> Iterator["Selection"]:
        """The selection level by level; a flat one yields itself."""
        if self.mask.dim() == 2:
            yield self
            return
        for level in range(self.mask.shape[0]):
            yield self.at(level)

    def at(self, index: Any) -> "Selection":
        """The selection with every tensor indexed alike."""
        return Selection(
            mask=self.mask[index],
            log_weight=None if self.log_weight is None else self.log_weight[index],
            attract=None if self.attract is None else self.attract[index],
        )


@runtime_checkable
class Sampler(Protocol):
    """Chooses negatives: a pure function of the context, parameters frozen at construction.

    A class may also say, as class attributes or properties:

    * ``objective``: the `Pairing` its paper uses (default ``"info_nce"``),
    * ``pool``: the candidate pool it is paired with (default ``"in_batch"``),
    * ``needs``: names out of `EXTRAS` that it reads,
    * ``stochastic``: True if it draws random numbers,
    * ``may_empty``: True if it can leave an anchor that has candidates without a negative,
    * ``requires_given``: True if it chooses only from the negatives that the data give, so that
      data without any are refused,
    * ``schedulable``: names of parameters for which its formula takes a 0-dim tensor in place of
      the number, so that `curriculum` can move them,
    * ``trains``: False if no step is taken, and ``fits``: True if the engine then fits something
      to the data in closed form,
    * ``ranks``: ``"bm25"`` if no encoder is scored, but a lexical ranking of retrieval tasks,
    * ``positive_copies``: True if texts equal to the positive may be chosen; without it the engine
      bars them like the positive itself,
    * ``diagnostics(context) -> dict[str, Tensor]``: 0-dim tensors worth watching, computed without
      waiting for the device,
    * ``synthesize(context) -> Tensor (B, S, d)``: makes further candidate embeddings before
      anything is chosen; they are appended as columns and marked ``synthetic``.
    """

    def __call__(self, context: SimilarityContext, /) -> Selection:
        """Choose negatives for every anchor."""
        ...


class Objective(Protocol):
    """Turns similarities and a selection into one loss per anchor.

    ``views`` says which layout it estimates on: ``"one"`` contrasts view 1 with view 2 (N = B),
    ``"both"`` contrasts all 2B views with all others (NT-Xent).
    """

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection, /
    ) -> Tensor:
        """Loss per anchor.

        Args:
            similarity: ``(B, N)`` live cosine, through which the gradient flows.
            context: Input of the sampler (detached).
            selection: Its choice, two-dimensional.

        Returns:
            ``(B,)`` losses; 0 with zero gradient for a row that has no negative left.
        """
        ...
