"""The training loop: one page, to be read from top to bottom.

texts -> augmentation -> encoder -> SimilarityContext -> sampler -> Selection -> objective
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.augmentations import Augmentation, TokenView
from nsbench.benchmarks.batches import bucket, feed_for
from nsbench.benchmarks.candidates import OpenPool, World
from nsbench.benchmarks.cell import Budget
from nsbench.benchmarks.choices import Choices
from nsbench.benchmarks.context import (
    Contrast,
    Known,
    extend,
    lay_out,
    mask_candidates,
    owners,
)
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.difficulty import DifficultyLog, flatten, point, statistics, summary
from nsbench.benchmarks.difficulty_histograms import Histograms
from nsbench.benchmarks.difficulty_vectors import pull_statistics
from nsbench.benchmarks.encoders import Encoder, TokenTable, token_table
from nsbench.benchmarks.extras import Extras
from nsbench.benchmarks.gradcache import Chunked
from nsbench.benchmarks.optimise import Optimizer, schedule
from nsbench.benchmarks.precision import autocast
from nsbench.benchmarks.probe import Probe
from nsbench.benchmarks.staleness import mined_statistics
from nsbench.benchmarks.supervision import Supervision
from nsbench.benchmarks.views import attack_loss, attacked, attackers, untouched
from nsbench.samplers import Objective, Sampler, Selection, SimilarityContext

IDENTICAL = 1 - 1e-6


class DivergedError(RuntimeError):
    """The loss became NaN or infinite."""


@dataclass
class Recipe:
    """What one training run is made of.

    Attributes:
        sampler: Chooses negatives.
        objective: The estimator.
        views: Augmentations of view 1 and view 2, each applied in order.
        directions: ``one`` or ``both``.
        budget: What it may spend.
        difficulty_every: Steps between measurements.
        seed_for: Gives the seed of a purpose word.
        open_pool: Starts the candidate pool.
        look: Called as ``look(step)`` after each step, for checkpoint choice and progress.
        supervision: Labels and their classifier, where the regime has them.
        tokens_key: Says what tokenizer and texts these are; see `token_table`.
    """

    sampler: Sampler
    objective: Objective
    views: tuple[Sequence[Augmentation], Sequence[Augmentation]]
    directions: str
    budget: Budget
    difficulty_every: int
    seed_for: Callable[[str], int]
    open_pool: Callable[[World], OpenPool]
    look: Callable[[int], None] = lambda step: None
    supervision: Supervision | None = None
    tokens_key: str = ""


@dataclass
class Trained:
    """What training leaves behind, beside the encoder's weights."""

    difficulty: pd.DataFrame
    training: pd.DataFrame
    cost: dict[str, float] = field(default_factory=dict)
    histograms: pd.DataFrame = field(default_factory=pd.DataFrame)
    probe: pd.DataFrame = field(default_factory=pd.DataFrame)
    choices: pd.DataFrame = field(default_factory=pd.DataFrame)


def train(encoder: Encoder, data: TrainingData, recipe: Recipe, device: torch.device) -> Trained:
    """Train an encoder in place.

    Args:
        encoder: On ``device`` already.
        data: Training rows.
        recipe: Everything else.
        device: Where tensors live.

    Raises:
        ValueError: If the data has fewer rows than one batch.
        DivergedError: If a loss is not finite; seen when losses are read out.
    """
    budget, objective = recipe.budget, recipe.objective
    cost: dict[str, float] = {}

    def note(name: str, value: float) -> None:
        cost[name] = cost.get(name, 0.0) + value

    tokens = token_table(encoder, data.texts, budget.max_length, device, key=recipe.tokens_key)
    known = Known(data, device)
    both = recipe.directions == "both"
    temperature = float(getattr(objective, "temperature", 0.05))
    supervision = recipe.supervision
    optimizer = Optimizer(
        encoder if supervision is None else supervision.trainable(encoder),
        learning_rate=budget.learning_rate,
        weight_decay=budget.weight_decay,
        clip=budget.clip,
    )
    draw = {
        purpose: torch.Generator(device).manual_seed(recipe.seed_for(purpose))
        for purpose in ("view1", "view2", "sampler")
    }
    torch.manual_seed(recipe.seed_for("dropout"))  # the encoder's own dropout layers
    world = World(
        data=data,
        encoder=encoder,
        tokens=tokens,
        device=device,
        batch_size=budget.batch_size,
        seed_for=recipe.seed_for,
        embed=lambda model: _embed_all(model, tokens, note),
        note=note,
    )
    pool = recipe.open_pool(world)
    extras = Extras(recipe.sampler, world, objective)
    feed = feed_for(recipe.sampler, world)
    difficulty, losses, norms, counts = DifficultyLog(), [], [], []
    histograms = Histograms(device)
    probe = Probe(data, known, partial(_embed_some, encoder, tokens), budget.steps, device)
    difficulty.add(0, probe.look())
    choices = Choices(known, budget.steps)
    for step in range(budget.steps):
        pool.refresh(step)
        extras.refresh(step, budget.steps)
        rows = next(feed)
        index = torch.from_numpy(rows).to(device)
        texts1, texts2, more = _texts(data, rows, index, pool)
        if supervision is not None:
            texts1, texts2 = supervision.texts(texts1, texts2)
        progress = torch.tensor(step / max(1, budget.steps - 1), device=device)
        measured = step % recipe.difficulty_every == 0 or step == budget.steps - 1

        # Both views, and further columns, in one pass through the encoder.
        view1 = _view(encoder, tokens, texts1, recipe.views[0], draw["view1"])
        view2 = _view(encoder, tokens, texts2, recipe.views[1], draw["view2"])
        if any(map(attackers, recipe.views)):
            with autocast(budget.precision, device):
                loss_at = attack_loss(known, texts1, texts2, temperature, supervision, index)
                pair = attacked((view1, view2), recipe.views, partial(forward, encoder), loss_at)
            view1, view2 = pair
            note("passes_attack", len(texts1) + len(texts2))
        plain = None if more is None else _view(encoder, tokens, more.clamp(min=0), (), None)
        parts = [v for v in (view1, view2, plain) if v is not None]
        with autocast(budget.precision, device):
            chunked = Chunked(encoder, parts, budget.chunk) if budget.chunk else None
            raw = forward(encoder, parts) if chunked is None else chunked.raw
        z = [functional.normalize(r.float(), dim=-1) for r in raw]

        contrast = lay_out(
            z[0],
            z[1],
            texts1,
            texts2,
            both=both,
            extra=None if more is None else (z[2], more),
            owned=_owned(len(rows), data, more, pool),
            stored=pool.stored(),
            batch_negatives=pool.batch_negatives,
        )
        live = contrast.anchors @ contrast.columns.T  # (B, N)
        masks = mask_candidates(contrast, known)
        if supervision is not None:
            masks = replace(masks, negative=supervision.apart(masks.negative, len(rows)))
        context = SimilarityContext(
            similarity=live.detach(),
            positive=contrast.positive,
            negative_mask=masks.negative,
            progress=progress,
            generator=draw["sampler"],
            temperature=temperature,
            truth=known.truth(contrast.anchor_texts, contrast.column_texts),
        )
        context = extras.add(context, contrast, z)
        synthesize = getattr(recipe.sampler, "synthesize", None)
        if synthesize is not None:
            context, live = extend(context, live, contrast.anchors, synthesize(context))

        selection = recipe.sampler(context)
        loss = row_losses(objective, live, context, selection)  # (B,)
        total = loss.mean()
        if supervision is not None:
            total = supervision.total(total, supervision.loss(raw, index))
        total.backward()
        if chunked is not None:
            with autocast(budget.precision, device):
                chunked.backward()
            note("passes_repeated", sum(len(part.ids) for part in parts))
        norm = optimizer.step(schedule(budget.schedule, step, budget.steps, budget.warmup))
        pool.after_step(torch.cat([texts1, texts2]), torch.cat([z[0], z[1]]).detach())

        chosen = flatten(selection)
        losses.append(total.detach())
        norms.append(norm)
        counts.append(
            torch.stack(
                [
                    chosen.mask.sum() / len(loss),
                    (~chosen.mask.any(dim=1)).sum(),
                    masks.duplicate.sum(),
                    masks.known.sum(),
                    view1.lengths.sum() + view2.lengths.sum(),
                ]
            ).double()
        )
        note("passes_anchor", len(texts1))
        note("passes_positive", len(texts2))
        note("passes_negative", 0 if more is None else len(more))
        choices.look(step, contrast, context, selection)
        if probe.due(step):
            difficulty.add(step, dict(probe.look()) | dict(pool.look()))
        if measured:
            histograms.add(context, selection)
            histograms.keep(step)
            numbers = statistics(context, selection)
            numbers |= pull_statistics(context, selection, contrast)
            numbers |= mined_statistics(context, contrast, pool.mined_scores(), pool.numbers(step))
            numbers["loss"] = summary(loss.detach(), torch.ones_like(loss) > 0, 0, 20)
            bare = tuple(_view(encoder, tokens, t, (), None) for t in (texts1, texts2))
            numbers |= _views_seen((view1, view2), (bare[0], bare[1]), contrast)
            if supervision is not None:
                numbers["entailment_accuracy"] = point(supervision.accuracy(raw, index).detach())
            for name, value in _diagnostics(objective, live, context, chosen).items():
                numbers[name] = point(value)
            difficulty.add(step, numbers)
        recipe.look(step)
    return Trained(
        difficulty=difficulty.table(),
        training=_training_table(losses, norms, budget),
        cost=_costs(cost, counts, budget, tokens, data.rows),
        histograms=histograms.table(),
        probe=probe.ranking(),
        choices=choices.table(),
    )


def forward(encoder: Encoder, views: Sequence[TokenView]) -> list[Tensor]:
    """Pooled embeddings of several views; views that agree on dropout share one pass."""
    if len({v.dropout for v in views}) > 1:
        return [encoder(v) for v in views]
    return list(encoder(_joined(views)).split([len(v.ids) for v in views]))


def row_losses(
    objective: Objective, live: Tensor, context: SimilarityContext, selection: Selection
) -> Tensor:
    """``(B,)`` loss per anchor, averaged over the levels of a levelled selection."""
    losses = [objective(live, context, part) for part in selection.parts()]
    return torch.stack(losses).mean(dim=0)


def _texts(
    data: TrainingData, rows: np.ndarray[Any, np.dtype[np.int64]], index: Tensor, pool: OpenPool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Texts of view 1 and view 2, and of the further columns: given negatives, mined ones."""
    more = []
    if data.negatives.shape[1]:
        more.append(torch.from_numpy(data.negatives[rows].reshape(-1)).to(index.device))
    mined = pool.mined(index)
    if mined is not None:
        more.append(mined)
    anchor = torch.from_numpy(data.anchor[rows]).to(index.device)
    positive = torch.from_numpy(data.positive[rows]).to(index.device)
    return anchor, positive, torch.cat(more) if more else None


def _owned(
    size: int, data: TrainingData, more: Tensor | None, pool: OpenPool
) -> tuple[Tensor, Tensor] | None:
    """Whose negatives the further columns are: given ones stand first, then mined ones."""
    if more is None:
        return None
    given = data.negatives.shape[1]
    return owners(size, given, len(more) // size - given, share=pool.share)


def _view(
    encoder: Encoder,
    tokens: TokenTable,
    texts: Tensor,
    augmentations: Sequence[Augmentation],
    generator: torch.Generator | None,
) -> TokenView:
    longest = int(tokens.lengths[texts.cpu().numpy()].max())
    ids, mask = tokens.rows(texts, bucket(longest, tokens.ids.shape[1]))
    view = encoder.plain_view(ids, mask)
    for augment in augmentations:
        view = augment(view, generator)
    return view


def _joined(views: Sequence[TokenView]) -> TokenView:
    """One view of all rows, padded to the longest."""
    if len(views) == 1:
        return views[0]
    length = max(v.ids.shape[1] for v in views)

    def padded(value: Tensor, fill: float) -> Tensor:
        return functional.pad(value, (0, length - value.shape[1]), value=fill)

    def stacked(name: str, fill: float) -> Tensor | None:
        given = [getattr(v, name) for v in views]
        if all(g is None for g in given):
            return None
        shapes = [(1, 1) if g is None else tuple(g.shape[-2:]) for g in given]
        rows = max(s[0] for s in shapes)
        columns = max(s[1] for s in shapes)
        rows = rows if rows == 1 else length
        out = []
        for view, value in zip(views, given, strict=True):
            size = len(view.ids)
            if value is None:
                value = torch.full((size, 1, 1), fill, device=view.ids.device)
            if value.shape[-2] not in (1, rows):
                value = functional.pad(value, (0, 0, 0, rows - value.shape[-2]), value=fill)
            out.append(value.expand(size, rows, columns))
        return torch.cat(out)

    last = torch.arange(length, device=views[0].ids.device)
    return TokenView(
        ids=torch.cat([padded(v.ids, 0) for v in views]),
        mask=torch.cat([functional.pad(v.mask, (0, length - v.mask.shape[1])) for v in views]),
        positions=torch.cat(
            [
                torch.cat([v.positions, last[v.positions.shape[1] :].expand(len(v.ids), -1)], dim=1)
                for v in views
            ]
        ),
        width=views[0].width,
        scale=stacked("scale", 1.0),
        shift=stacked("shift", 0.0),
        dropout=views[0].dropout,
    )


def _embed_all(encoder: Encoder, tokens: TokenTable, note: Callable[[str, float], None]) -> Tensor:
    """``(T, d)`` normalised embeddings of all texts, dropout off."""
    order = np.argsort(tokens.lengths, kind="stable")
    out = torch.empty(len(order), encoder.dimension, device=tokens.ids.device)
    for start in range(0, len(order), 1024):
        chosen = torch.from_numpy(order[start : start + 1024]).to(tokens.ids.device)
        out[chosen] = _embed_some(encoder, tokens, chosen)
    note("passes_mining", len(order))
    return out


def _embed_some(encoder: Encoder, tokens: TokenTable, texts: Tensor) -> Tensor:
    """``(n, d)`` normalised embeddings of the texts ``(n,)``, dropout off."""
    with torch.no_grad():
        view = _view(encoder, tokens, texts, (), None)
        return functional.normalize(encoder(view.replace(dropout=0.0)).float(), dim=-1)


def _views_seen(
    views: tuple[TokenView, TokenView], plain: tuple[TokenView, TokenView], contrast: Contrast
) -> dict[str, Tensor]:
    """Share of anchors whose views were left alone, or came out identical."""
    positive = (contrast.anchors * contrast.columns[contrast.positive]).sum(dim=1).detach()
    return {
        "noop_view1": point(untouched(views[0], plain[0]).double().mean()),
        "noop_view2": point(untouched(views[1], plain[1]).double().mean()),
        "identical_views": point((positive >= IDENTICAL).double().mean()),
    }


def _diagnostics(
    objective: Objective, live: Tensor, context: SimilarityContext, selection: Selection
) -> dict[str, Tensor]:
    method = getattr(objective, "diagnostics", None)
    if method is None:
        return {}
    return cast(dict[str, Tensor], method(live.detach(), context, selection))


def _training_table(losses: list[Tensor], norms: list[Tensor], budget: Budget) -> pd.DataFrame:
    loss = torch.stack(losses).cpu().double().numpy()
    bad = np.flatnonzero(~np.isfinite(loss))
    if bad.size:
        raise DivergedError(f"the loss is {loss[bad[0]]} at step {bad[0]} of {budget.steps}")
    rates = [
        budget.learning_rate * schedule(budget.schedule, s, budget.steps, budget.warmup)
        for s in range(budget.steps)
    ]
    return pd.DataFrame(
        {
            "step": np.arange(budget.steps),
            "loss": loss,
            "gradient_norm": torch.stack(norms).cpu().double().numpy(),
            "learning_rate": rates,
        }
    )


def _costs(
    cost: dict[str, float], counts: list[Tensor], budget: Budget, tokens: TokenTable, rows: int
) -> dict[str, float]:
    total = torch.stack(counts).sum(dim=0).cpu().tolist()
    passes = sum(v for k, v in cost.items() if k.startswith("passes_"))
    return cost | {
        "steps": float(budget.steps),
        "passes": passes,
        "negatives_per_anchor": total[0] / max(1, budget.steps),
        "empty_rows": total[1],
        "masked_duplicates": total[2],
        "masked_known": total[3],
        "tokens": total[4],
        "truncated_texts": float(tokens.truncated),
        "examples": float(budget.steps * budget.batch_size),
        "epochs": budget.steps * budget.batch_size / rows,
    }
