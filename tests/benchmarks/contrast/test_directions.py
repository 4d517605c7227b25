"""Sets of directions: what an anchor meets, and that sentence-transformers counts the same."""

from itertools import combinations
from typing import cast

import numpy as np
import pytest
import torch
from made_data import pairs_of
from made_training import training
from torch import Tensor, nn

from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.contrast.context import (
    Contrast,
    Further,
    Known,
    lay_out,
    mask_candidates,
    owners,
)
from nsbench.benchmarks.contrast.directions import Directions, lay_out_directions
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records.cell import resolve
from nsbench.benchmarks.training.losses import embedded_of, row_losses
from nsbench.samplers import Selection, SimilarityContext
from nsbench.samplers.testing import unit

THEIRS = {
    "q_d": "query_to_doc",
    "q_q": "query_to_query",
    "d_q": "doc_to_query",
    "d_d": "doc_to_doc",
}
SETS = [("q_d", *more) for n in range(4) for more in combinations(("q_q", "d_q", "d_d"), n)]
SIZE = 4


def known(rows: list[tuple[int, int]], texts: int) -> Known:
    """Texts that all differ, and the rows that pair them."""
    return Known(pairs_of([f"text {i}" for i in range(texts)], rows), torch.device("cpu"))


def batch(directions: Directions, raw: list[Tensor]) -> tuple[Contrast, Known]:
    """Four rows: queries 0 to 3, documents 4 to 7, and from 8 on given negatives."""
    z = [nn.functional.normalize(v, dim=1) for v in raw]
    texts = torch.arange(SIZE), torch.arange(SIZE) + SIZE
    further = None
    if len(z) > 2:
        ids = torch.arange(SIZE) + 2 * SIZE
        further = Further(z[2], ids, *owners(SIZE, 1, 0, share="batch"))
    contrast = lay_out_directions((z[0], z[1]), texts, directions, further=further)
    return contrast, known([(i, i + SIZE) for i in range(SIZE)], 3 * SIZE)


def loss_of(contrast: Contrast, known: Known, temperature: float = 0.1) -> Tensor:
    live = contrast.similarity()
    context = SimilarityContext(
        live.detach(), contrast.positive, mask_candidates(contrast, known).negative
    )
    made = objectives.make("info_nce", temperature=temperature)
    embedded = embedded_of(contrast, live, (live, live), None)
    selection = Selection(mask=context.negative_mask)
    return row_losses(made, embedded, context, selection).mean()


@pytest.mark.parametrize("given", [False, True], ids=["pairs", "triplets"])
@pytest.mark.parametrize(
    ("blocks", "partition"),
    [*((s, "joint") for s in SETS), (("q_d", "d_q"), "per_direction")],
    ids=str,
)
def test_agreement_directions_with_multiple_negatives_ranking(
    blocks: tuple[str, ...], partition: str, given: bool
) -> None:
    losses = pytest.importorskip("sentence_transformers").sentence_transformer.losses
    theirs = losses.MultipleNegativesRankingLoss(
        cast(nn.Module, None),
        scale=10.0,
        directions=tuple(THEIRS[b] for b in blocks),
        partition_mode=partition,
    )
    twice = "paper" if "d_q" in blocks and partition == "joint" else "once"
    directions = Directions.of("+".join(blocks), partition, twice)
    draw = torch.Generator().manual_seed(len(blocks))
    raw = [unit(SIZE, 8, generator=draw).requires_grad_() for _ in range(2 + given)]
    mine = loss_of(*batch(directions, raw))
    wanted = theirs.compute_loss_from_embeddings(raw, torch.tensor(0))
    torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-5)
    grads = torch.autograd.grad(wanted, raw, allow_unused=True)
    for a, b in zip(torch.autograd.grad(mine, raw), grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def met(text: str, given: bool = True, positives: str = "once") -> list[tuple[str, str]]:
    """What the first anchor is contrasted with: whose side, and which text."""
    draw = torch.Generator().manual_seed(0)
    raw = [unit(SIZE, 8, generator=draw) for _ in range(2 + given)]
    contrast, knows = batch(Directions.of(text, "joint", positives), raw)
    mask = mask_candidates(contrast, knows).negative[0]
    sides = ["d" if p else "q" for p in contrast.of_positive.tolist()]
    names = [("q", "d", "n")[t // SIZE] + str(t % SIZE) for t in contrast.column_texts.tolist()]
    return [(s, n) for s, n, m in zip(sides, names, mask.tolist(), strict=True) if m]


def test_each_direction_brings_its_own_pairs_and_leaves_out_the_anchors_own() -> None:
    others = ["1", "2", "3"]
    q_d = [("q", f"d{i}") for i in others] + [("q", f"n{i}") for i in range(SIZE)]
    assert met("q_d") == q_d
    assert met("q_d+q_q") == q_d + [("q", f"q{i}") for i in others]
    assert met("q_d+d_q") == q_d + [("d", f"q{i}") for i in others]
    assert met("q_d+d_q", positives="paper") == q_d + [("d", f"q{i}") for i in range(SIZE)]
    documents = [("d", f"d{i}") for i in others] + [("d", f"n{i}") for i in others]
    assert met("q_d+d_d") == q_d + documents


def test_columns_of_the_positive_are_masked_by_what_is_known_of_the_positive() -> None:
    """Query 1 is a known query of document 4, the first row's; query 0 has no such pair."""
    draw = torch.Generator().manual_seed(0)
    raw = [unit(SIZE, 8, generator=draw) for _ in range(2)]
    contrast, _ = batch(Directions.of("q_d+q_q+d_q", "joint", "once"), raw)
    knows = known([(i, i + SIZE) for i in range(SIZE)] + [(1, SIZE)], 2 * SIZE)
    mask = mask_candidates(contrast, knows).negative[0]
    assert mask.tolist() == [0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 1, 1]


def test_law_query_to_document_alone_is_one_direction() -> None:
    draw = torch.Generator().manual_seed(0)
    raw = [unit(SIZE, 8, generator=draw) for _ in range(3)]
    contrast, knows = batch(Directions.of("q_d", "joint", "once"), raw)
    plain = lay_out(
        raw[0],
        raw[1],
        torch.arange(SIZE),
        torch.arange(SIZE) + SIZE,
        both=False,
        further=Further(raw[2], torch.arange(SIZE) + 2 * SIZE, *owners(SIZE, 1, 0, share="batch")),
    )
    torch.testing.assert_close(loss_of(contrast, knows), loss_of(plain, knows))
    assert torch.equal(contrast.own_negative, plain.own_negative)
    ends = [training("tiny", "in_batch", directions=d).finish() for d in ("one", "both")]
    alone = Directions.of("q_d", "joint", "once")
    same = training("tiny", "in_batch", directions=alone).finish()
    assert np.allclose(same.training["loss"], ends[0].training["loss"])
    assert not np.allclose(same.training["loss"], ends[1].training["loss"])


@pytest.mark.parametrize("sampler", ["hard", "guided", "margin_mask", "random", "text_dedup"])
def test_samplers_train_on_all_four(sampler: str) -> None:
    four = Directions.of("q_d+q_q+d_q+d_d", "joint", "once")
    done = training("tiny", sampler, directions=four).finish()
    assert np.isfinite(done.training["loss"]).all()
    assert done.cost["negatives_per_anchor"] > 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"directions": "q_q+d_d"}, "q_d holds the positive"),
        ({"directions": "q_d+d_q+d_q"}, "names a direction twice"),
        ({"directions": "q_d+qq"}, "'qq' is no direction; join some of q_d, q_q, d_q, d_d"),
        ({"directions": "q_d+d_d", "partition": "per_direction"}, "d_d holds no positive"),
        ({"directions": "both", "partition": "per_direction"}, "read for a set of directions"),
        ({"directions": "q_d+q_q", "positives": "paper"}, "read where .* directions has d_q"),
        ({"directions": "q_d+d_q", "partition": "each"}, "partition is 'each'"),
    ],
)
def test_what_cannot_be_honoured_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        candidates.make("in_batch", **given)


def test_younger_parameters_leave_the_keys_of_older_cells_alone() -> None:
    assert resolve(candidates, "in_batch", {}).plain() == {
        "name": "in_batch",
        "params": {"directions": "auto"},
    }
    named = {"directions": "q_d+d_q", "partition": "per_direction"}
    assert resolve(candidates, "in_batch", named).plain()["params"] == named
