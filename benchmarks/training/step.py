"""One optimizer step, from the text ids of a batch to moved weights.

texts -> augmentation -> encoder -> SimilarityContext -> sampler -> Selection -> objective

Nothing in a step waits for the device: decisions of the host (rows, widths, the learning rate) come
with the `Batch`, and results stay on the device in `Stepped`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.augmentations import Augmentation, TokenView
from nsbench.benchmarks.candidates import CandidatePool, OpenPool
from nsbench.benchmarks.contrast.context import (
    Contrast,
    Further,
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
from nsbench.benchmarks.encoders import TokenTable, load_trained, trained_state
from nsbench.benchmarks.encoders.products import autocast
from nsbench.benchmarks.records.cell import Budget
from nsbench.benchmarks.training.attacks import attack_loss, attacked, attackers
from nsbench.benchmarks.training.counts import counted
from nsbench.benchmarks.training.extras import Extras, spares_copies, spread_scores
from nsbench.benchmarks.training.gradcache import Chunked, random_state, set_random_state
from nsbench.benchmarks.training.learned import Numbers
from nsbench.benchmarks.training.losses import embedded_of, row_losses
from nsbench.benchmarks.training.of_rows import OfRows
from nsbench.benchmarks.training.optimizer import Optimizer
from nsbench.benchmarks.training.supervision import Supervision
from nsbench.samplers import TEMPERATURE, Objective, Sampler, Selection, SimilarityContext


@dataclass(frozen=True)
class Method:
    """Parts that decide how a step is made.

    Attributes:
        sampler: Chooses negatives.
        objective: The estimator.
        views: Augmentations of view 1 and view 2, each applied in order.
        pool: Brings further candidates.
        directions: ``one``, ``both``, or a set of directions.
        budget: What it may spend.
        supervision: Labels and their classifier, where the regime has them.
    """

    sampler: Sampler
    objective: Objective
    views: tuple[Sequence[Augmentation], Sequence[Augmentation]]
    pool: CandidatePool
    directions: str | Directions
    budget: Budget
    supervision: Supervision | None = None

    @property
    def temperature(self) -> float:
        """The objective's, or the default where it has none."""
        return float(getattr(self.objective, "temperature", TEMPERATURE))


@dataclass(frozen=True, eq=False)
class Batch:
    """Input of one step.

    Attributes:
        rows: ``(B,)`` rows of the data, on the device.
        texts1: A texts of view 1; A is B, or 2 B where a regime contrasts both sides.
        texts2: A texts of view 2.
        more: E texts of further columns; ``None`` for none.
        owned: Owner and privacy of those, each ``(E,)`` on the device.
        stored: Columns that the pool keeps from before; ``None`` for none.
        mined_scores: ``(M,)`` scores at which the last M of the further columns were mined.
        progress: 0-dim float32, share of the training completed, in [0, 1].
        rate: 0-dim float64, factor on the peak learning rate.
        own_scores: ``(E,)`` scores of the further columns by a cross-encoder, on the device;
            ``None`` where no one asks.
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
    own_scores: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Stepped:
    """Result of a step, on the device.

    Attributes:
        views: Both encoded views.
        raw: Pooled embeddings of the views and of the further columns.
        contrast: The batch as anchors and columns.
        masks: Candidates ruled out before the sampler chose.
        context: Input of the sampler.
        selection: Its choice.
        live: ``(A, N)`` live similarity.
        loss: ``(A,)`` loss of each anchor.
        total: 0-dim loss that was minimised.
        norm: 0-dim norm of the gradient before clipping.
        embeddings: ``(2 A, d)`` normalised, detached, of both views.
        counts: ``(5,)`` negatives per anchor, empty rows, masked twins and pairs, tokens.
        passes: Texts encoded, by purpose.
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
        method: How a step is made.
        world: The cell.
        known: Duplicates and known positives among its texts.
        pool: Brings further columns.
        extras: Builds what the sampler needs beyond similarities.
        fixed: See `TokenView.fixed`.
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
        budget, supervision = method.budget, method.supervision
        self.fixed = fixed
        self.positive_copies = spares_copies(method.sampler)
        check = getattr(method.objective, "check_dimension", None)
        if check is not None:
            check(world.encoder.dimension)
        self.numbers = Numbers(method.objective, world.device)
        self.rows = OfRows(method.objective, world.data, world.device)
        self.optimizer = Optimizer(
            self.numbers.added_to(
                world.encoder if supervision is None else supervision.trainable(world.encoder)
            ),
            learning_rate=budget.learning_rate,
            weight_decay=budget.weight_decay,
            clip=budget.clip,
            sparse=world.encoder.sparse,
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
        more = [] if batch.more is None else [self._view(batch.more)]
        # Both views and further columns in one pass through the encoder.
        raw, finish = self._encoded([view1, view2, *more], passes)
        z = [functional.normalize(r.float(), dim=-1) for r in raw]
        contrast = self._laid_out(batch, z)
        live = contrast.similarity()  # (A, N)
        masks = mask_candidates(contrast, self.known, positive_copies=self.positive_copies)
        if supervision is not None:
            masks = replace(masks, negative=supervision.apart(masks.negative, len(batch.rows)))
        lower = self.extras.lower((view1, view2), passes)
        context, live, made = self._context(batch, contrast, masks, live, lower)
        selection = method.sampler(context)
        embedded = embedded_of(contrast, live, (z[0], z[1]), made)
        loss = row_losses(self.numbers.bound(), embedded, context, selection)  # (A,)
        self.rows.write(batch.rows, contrast.anchor_rows, context, selection)
        total = loss.mean()
        if supervision is not None:
            total = supervision.total(total, supervision.loss(raw, batch.rows))
        total.backward()
        finish()
        norm = self.optimizer.step(batch.rate)
        for name, view in zip(
            ("anchor", "positive", "negative"), (view1, view2, *more), strict=False
        ):
            passes[f"passes_{name}"] = len(view.ids)
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
            norm=norm,
            embeddings=torch.cat([z[0], z[1]]).detach(),
            counts=counted(selection, loss, masks, (view1, view2)),
            passes={"passes_negative": 0} | passes,
            learned=self.numbers.seen(),
        )

    def state(self) -> dict[str, Any]:
        """Return everything a resumed cell needs, the weights included."""
        supervision = self.method.supervision
        return {
            "encoder": trained_state(self.world.encoder),
            "head": None if supervision is None else supervision.head.state_dict(),
            "learned": self.numbers.state_dict(),
            "memory": self.rows.state(),
            "optimizer": self.optimizer.state(),
            "draw": {purpose: made.get_state() for purpose, made in self.draw.items()},
            "random": [team().collect(part) for part in random_state(self.world.device)],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Resume from a `state`."""
        load_trained(self.world.encoder, state["encoder"])
        if self.method.supervision is not None:
            self.method.supervision.head.load_state_dict(state["head"])
        self.numbers.load_state_dict(state["learned"])
        self.rows.load(state["memory"])
        self.optimizer.load(state["optimizer"])
        for purpose, made in self.draw.items():
            made.set_state(state["draw"][purpose])
        set_random_state([part[team().rank] for part in state["random"]], self.world.device)

    def _view(
        self,
        texts: Texts,
        augmentations: Sequence[Augmentation] = (),
        generator: torch.Generator | None = None,
        tokens: TokenTable | None = None,
    ) -> TokenView:
        encoder, tokens = self.world.encoder, tokens or self.world.tokens
        return view_of(encoder, tokens, texts, augmentations, generator, fixed=self.fixed)

    def _laid_out(self, batch: Batch, z: Sequence[Tensor]) -> Contrast:
        """Lay out normalised embeddings of both views and of further columns."""
        directions, further = self.method.directions, None
        if batch.more is not None:
            further = Further(z[2], batch.more.ids, *(batch.owned or ()))
        if isinstance(directions, Directions):
            texts = (batch.texts1.ids, batch.texts2.ids)
            return lay_out_directions((z[0], z[1]), texts, directions, further=further)
        return lay_out(
            z[0],
            z[1],
            batch.texts1.ids,
            batch.texts2.ids,
            both=directions == "both",
            further=further,
            stored=batch.stored,
            batch_negatives=self.pool.batch_negatives,
        )

    def _context(
        self,
        batch: Batch,
        contrast: Contrast,
        masks: Masked,
        live: Tensor,
        more: dict[str, Tensor],
    ) -> tuple[SimilarityContext, Tensor, Tensor | None]:
        """Return what the sampler sees, the live similarity, and candidates it synthesised."""
        context = SimilarityContext(
            similarity=live.detach(),
            positive=contrast.positive,
            negative_mask=masks.negative,
            progress=batch.progress,
            generator=self.draw["sampler"],
            temperature=self.method.temperature,
            truth=self.known.truth(contrast.anchor_texts, contrast.column_texts),
        )
        context = self.extras.add(context, contrast)
        context = context.replace(**self.rows.read(batch.rows, contrast.anchor_rows), **more)
        if batch.own_scores is not None:
            context = context.replace(own_score=spread_scores(contrast, batch.own_scores))
        synthesize = getattr(self.method.sampler, "synthesize", None)
        if synthesize is None:
            return context, live, None
        made = synthesize(context)
        return *extend(context, live, contrast.anchors, made), made

    def _views(self, batch: Batch, passes: dict[str, float]) -> tuple[TokenView, TokenView]:
        """Return both views, augmented and, if an augmentation asks for it, attacked."""
        method, world = self.method, self.world
        view1, view2 = (
            self._view(texts, augmentations, self.draw[purpose], tokens)
            for texts, augmentations, purpose, tokens in zip(
                (batch.texts1, batch.texts2),
                method.views,
                ("view1", "view2"),
                (world.asked, world.tokens),
                strict=True,
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
        """Return pooled embeddings of the views, and a function to call after ``backward``.

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
