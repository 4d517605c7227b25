"""Negatives that an anchor of a cell meets in its first step, counted by where they come from."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nsbench.benchmarks.contrast.context import Contrast
from nsbench.benchmarks.data._load import load_data
from nsbench.benchmarks.difficulty.statistics import flatten
from nsbench.benchmarks.records.cell import Cell, make
from nsbench.benchmarks.regimes import regimes
from nsbench.benchmarks.regimes._labels import entailment_data
from nsbench.benchmarks.seeds import seed_for
from nsbench.benchmarks.training.regime import (
    built_encoder,
    few_shot,
    method_of,
    phase_data,
    seeds_of,
)
from nsbench.benchmarks.training.step import Batch, Stepped
from nsbench.benchmarks.training.train import Training

BATCH = "texts of the batch"


@dataclass(frozen=True)
class Block:
    """Candidates of one kind, per anchor on average.

    Attributes:
        kind: Where they come from and what they are compared with.
        columns: Columns of the similarity matrix.
        equal: Ruled out: texts equal to the anchor or its positive.
        known: Ruled out: other known positives.
        eligible: What the sampler chose from.
        chosen: What it chose.
        own: Of the chosen, those that were given or mined for the anchor itself.
        weight: Mean weight of the chosen; NaN without any.
        similarity: Mean cosine of the chosen; NaN without any.
        false: Share of the chosen known to mean the same as the anchor; NaN if nothing is known.
        attracted: Candidates treated as further positives.
        barred: Counts of those that are no candidates, each with the reason in words.
    """

    kind: str
    columns: int
    equal: float
    known: float
    eligible: float
    chosen: float
    own: float
    weight: float
    similarity: float
    false: float
    attracted: float
    barred: tuple[tuple[float, str], ...] = ()


def first_step(cell: Cell) -> list[Block]:
    """Make the first step of a cell's last phase on the CPU, and count what its anchors met.

    Raises:
        ValueError: If the cell takes no step.
    """
    if not cell.budget.steps:
        raise ValueError(f"{cell} takes no step: it has no negatives to describe")
    encoder = built_encoder(cell)
    phase = make(regimes, cell.regime).phases(cell.budget)[-1]
    source = entailment_data(cell.regime, cell.data)
    pairs = None if source is None else load_data(source)
    rows = few_shot(
        phase_data(phase, load_data(cell.data), pairs),
        cell.limit,
        batch_size=phase.budget.batch_size,
        seed=seed_for(cell.seed, "limit"),
    )
    device = torch.device("cpu")
    with torch.random.fork_rng(devices=[]):
        method = method_of(phase, cell, rows, encoder)
        training = Training(encoder, rows, method, device, seed_for=seeds_of(phase, cell))
        training.pool.refresh(0)
        training.extras.refresh(0, phase.budget.steps)
        batch = training.next_batch(0)
        stepped = training.make_step(batch)
    return list(counted(batch, stepped))


def counted(batch: Batch, stepped: Stepped) -> Iterator[Block]:
    """The blocks of a step that have a column."""
    context, masks = stepped.context, stepped.masks
    selection = flatten(stepped.selection)
    weight = torch.ones_like(context.similarity)
    if selection.log_weight is not None:
        weight = selection.log_weight.float().exp()
    for kind, here in kinds(batch, stepped):
        if not here.any():
            continue
        chosen = selection.mask[:, here]
        false = float("nan")
        if context.truth is not None:
            false = _mean(context.truth[:, here].float(), chosen)
        old = here[: masks.duplicate.shape[1]]
        attract = selection.attract
        yield Block(
            kind=kind,
            columns=int(here.sum()),
            equal=_per_anchor(masks.duplicate[:, old]),
            known=_per_anchor(masks.known[:, old]),
            eligible=_per_anchor(context.negative_mask[:, here]),
            chosen=_per_anchor(chosen),
            own=_per_anchor(chosen[:, : int(old.sum())] & stepped.contrast.own_negative[:, old]),
            weight=_mean(weight[:, here], chosen),
            similarity=_mean(context.similarity[:, here], chosen),
            false=false,
            attracted=0.0 if attract is None else _per_anchor(attract[:, here]),
            barred=tuple(_barred(stepped.contrast, old, kind)),
        )


def _barred(contrast: Contrast, here: Tensor, kind: str) -> Iterator[tuple[float, str]]:
    """Numbers per anchor of columns that it is not contrasted with, and why."""
    place = torch.arange(len(contrast.valid))
    others = here & (place != contrast.positive[:, None])  # (B, N) without the positive
    there = others & contrast.valid
    private = there & contrast.private & ~contrast.own_negative
    empty = "barred by the pool" if kind.startswith(BATCH) else "places without a text"
    reasons = [(others & ~contrast.valid, empty), (private, "other anchors' own")]
    if contrast.barred is not None:
        reasons.append((there & ~private & contrast.barred, "of no pair that is contrasted"))
    for flags, why in reasons:
        if flags.any():
            yield _per_anchor(flags), why


def kinds(batch: Batch, stepped: Stepped) -> Iterator[tuple[str, Tensor]]:
    """Names and ``(N + S,)`` masks of the kinds of columns; every column is of one kind."""
    contrast, context = stepped.contrast, stepped.context
    texts = contrast.column_texts
    more = texts.new_zeros(0) if batch.more is None else batch.more.ids
    kept = 0 if batch.stored is None else len(batch.stored.texts)
    place = torch.arange(len(texts))
    stored = place >= len(texts) - kept
    further = ~stored & (contrast.owner >= 0)
    if contrast.of_positive is not None:  # in the block of documents no column has an owner
        further = further | (contrast.of_positive & torch.isin(texts, more))
    other = torch.zeros_like(stored) if contrast.of_positive is None else contrast.of_positive
    made = context.similarity.shape[1] - len(texts)

    def padded(flags: Tensor, value: bool = False) -> Tensor:
        return torch.cat([flags, torch.full((made,), value)])

    batch_own = ~stored & ~further
    yield BATCH, padded(batch_own & ~other)
    yield f"{BATCH}, compared with the positive", padded(batch_own & other)
    yield "given or mined negatives", padded(further & ~other)
    yield "given or mined negatives, compared with the positive", padded(further & other)
    yield "stored by the pool", padded(stored)
    yield "made by the sampler", padded(torch.zeros_like(stored), value=True)


def _per_anchor(flags: Tensor) -> float:
    return float(flags.sum(dim=1).float().mean())


def _mean(values: Tensor, where: Tensor) -> float:
    return float(values[where].mean()) if bool(where.any()) else float("nan")


def told(blocks: list[Block]) -> list[str]:
    """One sentence for every block."""
    lines = []
    for block in blocks:
        line = (
            f"{block.kind}: {block.columns} columns; per anchor {block.eligible:g} eligible, "
            f"{block.chosen:g} chosen as negatives"
        )
        if block.own:
            line += f" ({block.own:g} of them the anchor's own)"
        ruled = [
            f"{count:g} {why}"
            for count, why in (
                (block.equal, "equal to the anchor or its positive"),
                (block.known, "known positives"),
                *block.barred,
            )
            if count
        ]
        if ruled:
            line += f"; ruled out {', '.join(ruled)}"
        if block.attracted:
            line += f"; {block.attracted:g} attracted as positives"
        if block.chosen:
            line += f"; mean cosine {block.similarity:.3f}, mean weight {block.weight:.3g}"
            if block.false == block.false:
                line += f", {block.false:.1%} false negatives"
        lines.append(line)
    return lines
