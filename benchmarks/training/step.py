"""One optimizer step, from the numbers of a batch's texts to moved weights.

texts -> augmentation -> encoder -> SimilarityContext -> sampler -> Selection -> objective

Nothing in a step waits for the device: what is decided on the host (rows, widths, the learning
rate) comes with the `Batch`, and what was found stays on the device in `Stepped`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.augmentations import Augmentation, TokenView
from nsbench.benchmarks.candidates import OpenPool
from nsbench.benchmarks.contrast.context import (
    Contrast,
    Known,
    Masked,
    extend,
    lay_out,
    mask_candidates,
)
from nsbench.benchmarks.contrast.directions import Directions, lay_out_directions
from nsbench.benchmarks.contrast.distributed import team
from nsbench.benchmarks.contrast.views import Texts, forward, on_device, view_of
from nsbench.benchmarks.contrast.world import Stored, World
from nsbench.benchmarks.difficulty.statistics import flatten
from nsbench.benchmarks.objectives._embedded import Embedded, losses_of
from nsbench.benchmarks.precision import autocast
from nsbench.benchmarks.records.cell import Budget
from nsbench.benchmarks.training.attacks import attack_loss, attacked, attackers
from nsbench.benchmarks.training.extras import Extras, spares_copies
from nsbench.benchmarks.training.gradcache import Chunked, random_state, set_random_state
from nsbench.benchmarks.training.learned import Numbers
from nsbench.benchmarks.training.optimizer import Optimizer
from nsbench.benchmarks.training.supervision import Supervision
from nsbench.samplers import Objective, Sampler, Selection, SimilarityContext


@dataclass(frozen=True)
class Method:
    """What decides how a step is made.

    Attributes:
        sampler: Chooses negatives.
        objective: The estimator.
        views: Augmentations of view 1 and view 2, each applied in order.
        directions: ``one``, ``both``, or a set of directions.
        budget: What it may spend.
        supervision: Labels and their classifier, where the regime has them.
    """

    sampler: Sampler
    objective: Objective
    views: tuple[Sequence[Augmentation], Sequence[Augmentation]]
    directions: str | Directions
    budget: Budget
    supervision: Supervision | None = None

    @property
    def temperature(self) -> float:
        """The objective's, or 0.05 where it has none."""
        return float(getattr(self.objective, "temperature", 0.05))


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step is given.

    Attributes:
        rows: ``(B,)`` rows of the data, on the device.
        texts1: A texts of view 1; A is B, or 2 B where a regime contrasts both sides.
        texts2: A texts of view 2.
        more: E texts of further columns; ``None`` for none.
        owned: Owner and privacy of those, each ``(E,)`` on the device.
        stored: Columns that the pool keeps from before; ``None`` for none.
        mined_scores: ``(M,)`` scores at which the last M of the further columns were mined.
        progress: 0-dim float32, share of the training that is over, in [0, 1].
        rate: 0-dim float64, factor on the peak learning rate.
    """

    rows: Tensor
    texts1: Texts
    texts2: Texts
    more: Texts | None
    owned: tuple[Tensor, Tensor] | None
    stored: Stored | None
    mined_scores: Tensor | None
    progress: Tensor
    rate: Tensor


@dataclass(frozen=True, eq=False)
class Stepped:
    """What happened in a step, on the device.

    Attributes:
        views: Both views as they were encoded.
        raw: Pooled embeddings of the views and of the further columns.
        contrast: The batch as anchors and columns.
        masks: What was ruled out before the sampler chose.
        context: What the sampler saw.
        selection: What it chose.
        live: ``(A, N)`` live similarity.
        loss: ``(A,)`` loss of each anchor.
        total: 0-dim loss that was followed.
        norm: 0-dim norm of the gradient before clipping.
        embeddings: ``(2 A, d)`` normalised, detached, of both views.
        counts: ``(5,)`` negatives per anchor, empty rows, masked twins and pairs, tokens.
        passes: Texts that went through the encoder, by what for.
        learned: Numbers of the objective that are learned, as they were before the step.
    """

    views: tuple[TokenView, TokenView]
    raw: list[Tensor]
    contrast: Contrast
    masks: Masked
    context: SimilarityContext
    selection: Selection
    live: Tensor
    loss: Tensor
    total: Tensor
    norm: Tensor
    embeddings: Tensor
    counts: Tensor
    passes: Mapping[str, float]
    learned: Mapping[str, Tensor] = field(default_factory=dict)


class Step:
    """Makes steps; holds the optimizer and the generators that steps draw from.

    Args:
        method: What to do.
        world: The cell.
        known: What is known of its texts.
        pool: Brings further columns.
        extras: Builds what the sampler needs beyond similarities.
        fixed: Whether shapes and places are to depend on nothing but the shape of the batch, as
            on a device and where steps are recorded.
    """

    def __init__(
        self,
        method: Method,
        world: World,
        known: Known,
        pool: OpenPool,
        extras: Extras,
        *,
        fixed: bool = False,
    ) -> None:
        self.method, self.world, self.known = method, world, known
        self.pool, self.extras = pool, extras
        self.positive_copies = spares_copies(method.sampler)
        budget, supervision = method.budget, method.supervision
        encoder = world.encoder
        encoder.fixed = fixed
        check = getattr(method.objective, "check_dimension", None)
        if check is not None:
            check(encoder.dimension)
        self.numbers = Numbers(method.objective, world.device)
        self.optimizer = Optimizer(
            self.numbers.added_to(
                encoder if supervision is None else supervision.trainable(encoder)
            ),
            learning_rate=budget.learning_rate,
            weight_decay=budget.weight_decay,
            clip=budget.clip,
            fixed=fixed,
        )
        self.draw = {
            purpose: torch.Generator(world.device).manual_seed(world.seed_for(purpose))
            for purpose in ("view1", "view2", "sampler")
        }

    def __call__(self, batch: Batch) -> Stepped:
        """Make one step."""
        method, supervision = self.method, self.method.supervision
        passes: dict[str, float] = {}
        view1, view2 = self._views(batch, passes)
        # Both views, and further columns, in one pass through the encoder.
        parts = [view1, view2]
        if batch.more is not None:
            parts.append(view_of(self.world.encoder, self.world.tokens, batch.more))
        raw, finish = self._encoded(parts, passes)
        z = [functional.normalize(r.float(), dim=-1) for r in raw]
        contrast = self._laid_out(batch, z)
        live = contrast.similarity()  # (A, N)
        masks = mask_candidates(contrast, self.known, positive_copies=self.positive_copies)
        if supervision is not None:
            masks = replace(masks, negative=supervision.apart(masks.negative, len(batch.rows)))
        context = SimilarityContext(
            similarity=live.detach(),
            positive=contrast.positive,
            negative_mask=masks.negative,
            progress=batch.progress,
            generator=self.draw["sampler"],
            temperature=method.temperature,
            truth=self.known.truth(contrast.anchor_texts, contrast.column_texts),
        )
        context = self.extras.add(context, contrast, z)
        synthesize = getattr(method.sampler, "synthesize", None)
        made = None
        if synthesize is not None:
            made = synthesize(context)
            context, live = extend(context, live, contrast.anchors, made)

        selection = method.sampler(context)
        embedded = embedded_of(contrast, live, (z[0], z[1]), made)
        loss = row_losses(self.numbers.bound(), embedded, context, selection)  # (A,)
        total = loss.mean()
        if supervision is not None:
            total = supervision.total(total, supervision.loss(raw, batch.rows))
        total.backward()
        finish()
        passes["passes_anchor"] = len(view1.ids)
        passes["passes_positive"] = len(view2.ids)
        passes["passes_negative"] = 0 if batch.more is None else len(batch.more.ids)
        return Stepped(
            views=(view1, view2),
            raw=raw,
            contrast=contrast,
            masks=masks,
            context=context,
            selection=selection,
            live=live,
            loss=loss,
            total=total.detach(),
            norm=self.optimizer.step(batch.rate),
            embeddings=torch.cat([z[0], z[1]]).detach(),
            counts=_counted(selection, loss, masks, (view1, view2)),
            passes=passes,
            learned=self.numbers.seen(),
        )

    def state(self) -> dict[str, Any]:
        """Everything a resumed cell needs, the weights included."""
        supervision = self.method.supervision
        return {
            "encoder": self.world.encoder.state_dict(),
            "head": None if supervision is None else supervision.head.state_dict(),
            "learned": self.numbers.state_dict(),
            "optimizer": self.optimizer.state(),
            "draw": {purpose: made.get_state() for purpose, made in self.draw.items()},
            "random": [team().collect(part) for part in random_state(self.world.device)],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.world.encoder.load_state_dict(state["encoder"])
        if self.method.supervision is not None:
            self.method.supervision.head.load_state_dict(state["head"])
        self.numbers.load_state_dict(state["learned"])
        self.optimizer.load(state["optimizer"])
        for purpose, made in self.draw.items():
            made.set_state(state["draw"][purpose])
        set_random_state([part[team().rank] for part in state["random"]], self.world.device)

    def _laid_out(self, batch: Batch, z: Sequence[Tensor]) -> Contrast:
        """The batch's embeddings as anchors and columns."""
        directions = self.method.directions
        extra = None if batch.more is None else (z[2], batch.more.ids)
        if isinstance(directions, Directions):
            texts = (batch.texts1.ids, batch.texts2.ids)
            return lay_out_directions(
                (z[0], z[1]), texts, directions, extra=extra, owned=batch.owned
            )
        return lay_out(
            z[0],
            z[1],
            batch.texts1.ids,
            batch.texts2.ids,
            both=directions == "both",
            extra=extra,
            owned=batch.owned,
            stored=batch.stored,
            batch_negatives=self.pool.batch_negatives,
        )

    def _views(self, batch: Batch, passes: dict[str, float]) -> tuple[TokenView, TokenView]:
        """Both views, augmented and, where that is asked for, attacked."""
        method, world = self.method, self.world
        view1, view2 = (
            view_of(world.encoder, world.tokens, texts, augmentations, self.draw[purpose])
            for texts, augmentations, purpose in zip(
                (batch.texts1, batch.texts2), method.views, ("view1", "view2"), strict=True
            )
        )
        if any(map(attackers, method.views)):
            with autocast(method.budget.precision, world.device):
                loss_at = attack_loss(
                    self.known,
                    batch.texts1.ids,
                    batch.texts2.ids,
                    method.temperature,
                    method.supervision,
                    batch.rows,
                )
                encode = partial(forward, world.encoder)
                view1, view2 = attacked((view1, view2), method.views, encode, loss_at)
            passes["passes_attack"] = len(view1.ids) + len(view2.ids)
        return view1, view2

    def _encoded(
        self, parts: Sequence[TokenView], passes: dict[str, float]
    ) -> tuple[list[Tensor], Callable[[], None]]:
        """Pooled embeddings of the views, and what is to be called after ``backward``.

        Of several processes that train together, each encodes its part of every view.
        """
        budget, world, group = self.method.budget, self.world, team()
        counts = [len(part.ids) for part in parts]
        if group.size > 1:
            parts = [
                part.take(on_device(group.own(count), world.device), part.ids.shape[1])
                for part, count in zip(parts, counts, strict=True)
            ]
        with autocast(budget.precision, world.device):
            chunked = Chunked(world.encoder, parts, budget.chunk) if budget.chunk else None
            own = forward(world.encoder, parts) if chunked is None else chunked.raw
        raw = [group.gather(value, count) for value, count in zip(own, counts, strict=True)]

        def finish() -> None:
            if chunked is not None:
                with autocast(budget.precision, world.device):
                    chunked.backward()
                passes["passes_repeated"] = sum(counts)
            group.sum_gradients(world.encoder)

        return raw, finish


def _counted(
    selection: Selection, loss: Tensor, masks: Masked, views: tuple[TokenView, TokenView]
) -> Tensor:
    """``(5,)``, see `Stepped`."""
    chosen = flatten(selection)
    return torch.stack(
        [
            chosen.mask.sum() / len(loss),
            (~chosen.mask.any(dim=1)).sum(),
            masks.duplicate.sum(),
            masks.known.sum(),
            views[0].lengths.sum() + views[1].lengths.sum(),
        ]
    ).double()


def embedded_of(
    contrast: Contrast, live: Tensor, views: tuple[Tensor, Tensor], made: Tensor | None
) -> Embedded:
    """The batch as embeddings, for the objective.

    Args:
        contrast: Anchors and columns.
        live: ``(A, N + S)`` live similarity.
        views: ``(R, d)`` each.
        made: ``(A, S, d)`` candidates that the sampler made.
    """
    if made is not None:
        made = functional.normalize(made.detach(), dim=-1)
    return Embedded(
        contrast.anchors,
        contrast.columns,
        views,
        live,
        made,
        positives=contrast.positives,
        of_positive=contrast.of_positive,
    )


def row_losses(
    objective: Objective, embedded: Embedded, context: SimilarityContext, selection: Selection
) -> Tensor:
    """``(B,)`` loss per anchor, averaged over the levels of a levelled selection."""
    losses = [losses_of(objective, embedded, context, part) for part in selection.parts()]
    return torch.stack(losses).mean(dim=0)
