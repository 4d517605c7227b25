"""Staleness of what a pool keeps: mined candidates and stored embeddings, measured now.

Source: the refreshes of Xiong et al. 2021 (ANCE) and the slow drift of Wang et al. 2020 (XBM) are
about this. https://arxiv.org/abs/2007.00808 https://arxiv.org/abs/1912.06798 The statistics are
ours.
"""

import torch
from torch import Tensor

from nsbench.benchmarks.contrast.context import Contrast
from nsbench.benchmarks.difficulty.statistics import summary
from nsbench.samplers import SimilarityContext

SAMPLE = 32


def mined_statistics(
    context: SimilarityContext,
    contrast: Contrast,
    scores: Tensor | None,
) -> dict[str, Tensor]:
    """Ranks and similarities now of the candidates that were mined for an anchor.

    Args:
        context: What the sampler saw.
        contrast: Says which columns were mined for whom.
        scores: ``(E,)`` scores of the columns that the pool mined for this batch, by the model
            that mined them, NaN where unknown; they are the last E owned columns. ``None`` where
            nothing was mined.

    Returns:
        ``mined_percentile``: place of an anchor's own mined columns among all that it may choose
        from, 0 = hardest; ``mined_similarity`` of them today, in training views, and
        ``mined_similarity_then``, when they were mined, over the same columns. Where judgements or
        meanings are known, ``mined_false_negative``: share of them that mean what the anchor means.
    """
    if scores is None:
        return {}
    columns = len(contrast.owner)
    known = torch.full((columns,), torch.nan, device=scores.device)
    owned = (contrast.owner >= 0).nonzero_static(size=columns, fill_value=columns).squeeze(1)
    last = (owned < columns).sum() - len(scores) + torch.arange(len(scores), device=scores.device)
    place = owned[last]
    known[place] = scores
    mined = torch.zeros(columns, dtype=torch.bool, device=scores.device).index_fill_(0, place, True)
    own = contrast.own_negative & mined & context.negative_mask[:, :columns]
    similarity = context.similarity[:, :columns].float()
    ranks = (context.ranks()[:, :columns] + 0.5) / context.eligible.clamp(min=1)
    both = own & ~known.isnan()
    out = {
        "mined_percentile": summary(ranks, own, 0, 1),
        "mined_similarity": summary(similarity, both, -1, 1),
        "mined_similarity_then": summary(known.nan_to_num().expand_as(own), both, -1, 1),
    }
    if context.truth is not None:
        same = context.truth[:, :columns].float()
        out["mined_false_negative"] = summary(same, own, 0, 1)
    return out


def stored_statistics(stored: Tensor, today: Tensor, texts: Tensor) -> dict[str, Tensor]:
    """Compare stored embeddings of some texts with those of the current encoder.

    Args:
        stored: ``(n, d)`` normalised, as they are held.
        today: ``(n, d)`` normalised, by the encoder in training.
        texts: ``(n,)`` numbers of the texts.

    Returns:
        ``stored_drift``: 1 - cos of the two, in [0, 2]; ``stored_recognised``: share of the stored
        embeddings that are nearer to their own text's embedding of today than to any other's.
        Keys that have nothing to do with their texts are recognised 1 / n of the time.
    """
    every = torch.ones_like(texts, dtype=torch.bool)
    nearest = (stored @ today.T).argmax(dim=1)
    found = texts[nearest] == texts
    return {
        "stored_drift": summary(1 - (stored * today).sum(dim=1), every, 0, 2),
        "stored_recognised": summary(found.float(), every, 0, 1),
    }
