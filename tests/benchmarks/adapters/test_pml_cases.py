"""Cases that users of pytorch-metric-learning meet with miners, tried on the sampler.

Collected from the behaviour of pytorch-metric-learning 2.9 (Musgrave et al. 2020,
https://arxiv.org/abs/2008.09164): kinds of miners, empty answers, dtypes, reference embeddings,
labels of one member, equal distances. Differences by design are in docs/integrations.md.
"""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nsbench.samplers import SimilarityContext
from nsbench.samplers.testing import make_context

pytest.importorskip("pytorch_metric_learning")

from pytorch_metric_learning import miners

from nsbench.benchmarks.adapters.pytorch_metric_learning import PmlMiner

ALL = sorted(n for n in dir(miners) if n.endswith("Miner") and not n.startswith("Base"))
BY_ROW = [
    ("MultiSimilarityMiner", {"epsilon": 0.3}),
    ("TripletMarginMiner", {"margin": 0.3}),
    ("TripletMarginMiner", {"margin": 0.3, "type_of_triplets": "hard"}),
    ("TripletMarginMiner", {"margin": 0.3, "type_of_triplets": "semihard"}),
    ("TripletMarginMiner", {"margin": 0.3, "type_of_triplets": "easy"}),
    ("BatchHardMiner", {}),
    ("BatchEasyHardMiner", {"pos_strategy": "easy", "neg_strategy": "hard"}),
    ("BatchEasyHardMiner", {"pos_strategy": "hard", "neg_strategy": "easy"}),
    ("BatchEasyHardMiner", {"pos_strategy": "easy", "neg_strategy": "semihard"}),
    ("PairMarginMiner", {"neg_margin": 1.2}),
    ("AngularMiner", {"angle": 20}),
]
"""Miners whose answer for an anchor depends on that anchor's pairs alone."""


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(*shape, generator=draw), dim=-1)


def batch(
    z: torch.Tensor,
    columns: torch.Tensor,
    positive: list[int],
    barred: list[tuple[int, int]] = (),  # type: ignore[assignment]  # nothing barred
) -> SimilarityContext:
    """A context of given embeddings; everything but positives and barred places is eligible."""
    mask = torch.ones(len(z), len(columns), dtype=torch.bool)
    place = torch.tensor(positive)
    mask[torch.arange(len(z)), place] = False
    for row, column in barred:
        mask[row, column] = False
    return SimilarityContext(
        similarity=z @ columns.T,
        positive=place,
        negative_mask=mask,
        generator=torch.Generator().manual_seed(0),
        anchors=z,
        candidates=columns,
    )


def hardest(context: SimilarityContext) -> torch.Tensor:
    scores = context.similarity.masked_fill(~context.negative_mask, -torch.inf)
    some = context.negative_mask.any(dim=1, keepdim=True)
    return (scores == scores.amax(dim=1, keepdim=True)) & some


@pytest.mark.parametrize("layout", ["one", "both"])
@pytest.mark.parametrize("miner", ALL)
def test_every_miner_chooses_what_may_be_chosen(miner: str, layout: str) -> None:
    chosen = 0
    for seed in range(5):
        context = make_context(
            6, 12, needs={"anchors", "candidates"}, seed=seed, layout=layout, ineligible=0.4
        )
        mask = PmlMiner(miner)(context).mask
        assert mask.shape == context.negative_mask.shape
        assert mask.dtype == torch.bool
        assert not (mask & ~context.negative_mask).any()
        chosen += int(mask.sum())
    assert chosen > 0


@pytest.mark.parametrize(("miner", "arguments"), BY_ROW)
def test_equal_to_the_library_where_labels_say_it(miner: str, arguments: dict[str, Any]) -> None:
    """Queries against references, each query with one positive: the library's own use."""
    z, columns = unit(7, 6), unit(7, 6, seed=1)
    columns = torch.nn.functional.normalize(z + 0.8 * columns, dim=-1)
    labels = torch.arange(7)  # cloned: given the same object, the library takes both for one batch
    found = getattr(miners, miner)(**arguments)(z, labels, columns, labels.clone())
    rows, negatives = (found[0], found[2]) if len(found) == 3 else (found[2], found[3])
    wanted = torch.zeros(7, 7, dtype=torch.bool)
    wanted[rows, negatives] = True
    mask = PmlMiner(miner, arguments)(batch(z, columns, list(range(7)))).mask
    assert torch.equal(mask, wanted)


@pytest.mark.parametrize("layout", ["one", "both"])
@pytest.mark.parametrize("miner", ["BatchHardMiner", "BatchEasyHardMiner"])
def test_a_column_barred_for_several_anchors_is_barred_for_each(miner: str, layout: str) -> None:
    arguments = {} if miner == "BatchHardMiner" else {"neg_strategy": "hard"}
    for seed in range(20):
        context = make_context(
            8, 16, needs={"anchors", "candidates"}, seed=seed, layout=layout, ineligible=0.5
        )
        assert torch.equal(PmlMiner(miner, arguments)(context).mask, hardest(context))


@given(st.integers(0, 2**30), st.floats(0, 0.9))
@settings(max_examples=30)
def test_each_anchor_has_the_hardest_of_its_own(seed: int, ineligible: float) -> None:
    context = make_context(
        5, 9, needs={"anchors", "candidates"}, seed=seed, layout="both", ineligible=ineligible
    )
    assert torch.equal(PmlMiner("BatchHardMiner")(context).mask, hardest(context))


def test_an_anchor_is_not_its_own_positive() -> None:
    """With both views as anchors the distance to itself, 0, is no distance to a positive."""
    views = unit(8, 5)
    positive = [4, 5, 6, 7, 0, 1, 2, 3]
    context = batch(views, views, positive, [(i, i) for i in range(8)])
    mask = PmlMiner("TripletMarginMiner", {"margin": 0.1})(context).mask
    distance = torch.cdist(views, views)
    own = distance.gather(1, context.positive[:, None])
    assert torch.equal(mask, (distance - own <= 0.1) & context.negative_mask)


def test_a_wrong_positive_would_change_the_answer() -> None:
    """The easiest positive is the anchor's own, even where barred columns are nearer."""
    z = torch.tensor([[1.0, 0.0]])
    columns = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.6, 0.8]])
    context = batch(z, columns, [0], [(0, 1)])
    semihard = PmlMiner("BatchEasyHardMiner", {"pos_strategy": "easy", "neg_strategy": "hard"})
    assert semihard(context).mask.tolist() == [[False, False, True]]
    margin = PmlMiner("TripletMarginMiner", {"margin": 0.1, "type_of_triplets": "hard"})
    assert margin(context).mask.tolist() == [[False, False, True]]


@pytest.mark.parametrize("miner", ALL)
def test_an_anchor_without_candidates_keeps_nothing(miner: str) -> None:
    z = unit(3, 4)
    context = batch(z, z.clone(), [0, 1, 2], [(0, 1), (0, 2)])
    mask = PmlMiner(miner)(context).mask
    assert not mask[0].any()


@pytest.mark.parametrize("miner", ALL)
def test_nothing_to_choose_is_an_empty_answer(miner: str) -> None:
    z = unit(1, 4)
    mask = PmlMiner(miner)(batch(z, z.clone(), [0])).mask
    assert mask.shape == (1, 1)
    assert not mask.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("miner", ["MultiSimilarityMiner", "BatchHardMiner", "TripletMarginMiner"])
def test_embeddings_of_any_precision(miner: str, dtype: torch.dtype) -> None:
    z, columns = unit(6, 8).to(dtype), unit(6, 8, seed=1).to(dtype)
    places = list(range(6))
    low = PmlMiner(miner)(batch(z, columns, places)).mask
    assert torch.equal(low, PmlMiner(miner)(batch(z.float(), columns.float(), places)).mask)
    assert low.any()


def test_more_columns_than_anchors() -> None:
    """A queue or given negatives are further columns, as collected embeddings are references."""
    z = unit(3, 8)
    columns = torch.cat([z, unit(20, 8, seed=2)])
    context = batch(z, columns, [0, 1, 2])
    assert torch.equal(PmlMiner("BatchHardMiner")(context).mask, hardest(context))


def test_labels_of_one_member_are_the_ordinary_case() -> None:
    """The library drops anchors whose label occurs once; here the positive is always there."""
    z = unit(5, 8)
    labels = torch.arange(5)
    assert len(miners.BatchHardMiner()(z, labels)[0]) == 0
    context = batch(z, z + 0.01 * unit(5, 8, seed=3), list(range(5)))
    assert PmlMiner("BatchHardMiner")(context).mask.sum() == 5


def test_several_known_positives_are_no_negatives() -> None:
    z = torch.tensor([[1.0, 0.0]])
    columns = torch.tensor([[1.0, 0.1], [1.0, 0.2], [0.0, 1.0]])
    context = batch(z, columns, [0], [(0, 1)])
    assert PmlMiner("BatchHardMiner")(context).mask.tolist() == [[False, False, True]]


@pytest.mark.parametrize("miner", ["MultiSimilarityMiner", "BatchHardMiner", "AngularMiner"])
def test_equal_embeddings_do_not_fail(miner: str) -> None:
    z = torch.ones(4, 3) / 3**0.5
    mask = PmlMiner(miner)(batch(z, z.clone(), [0, 1, 2, 3])).mask
    assert mask.dtype == torch.bool


def test_the_distance_may_be_inverted() -> None:
    from pytorch_metric_learning.distances import CosineSimilarity

    z, columns = unit(6, 8), unit(6, 8, seed=1)
    context = batch(z, columns, list(range(6)))
    by_cosine = PmlMiner("BatchHardMiner", {"distance": CosineSimilarity()})
    assert torch.equal(by_cosine(context).mask, hardest(context))


@pytest.mark.parametrize("miner", ["DistanceWeightedMiner", "UniformHistogramMiner"])
def test_draws_come_from_the_context_alone(miner: str) -> None:
    def mask(seed: int) -> torch.Tensor:
        context = make_context(8, 40, needs={"anchors", "candidates"}, seed=3, layout="one")
        context.generator.manual_seed(seed)
        return PmlMiner(miner, {"neg_per_bin": 1} if "Uniform" in miner else {})(context).mask

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = mask(1)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(7)
    assert torch.equal(first, mask(1))
    assert any(not torch.equal(first, mask(seed)) for seed in range(2, 8))


def test_the_hardest_share_is_taken_of_each_anchor() -> None:
    """HDCMiner takes a share of all pairs of a batch; the sampler asks it anchor by anchor."""
    z, columns = unit(4, 8), unit(9, 8, seed=1)
    mask = PmlMiner("HDCMiner", {"filter_percentage": 0.5})(batch(z, columns, [0, 1, 2, 3])).mask
    assert mask.sum(dim=1).tolist() == [4, 4, 4, 4]


def test_the_input_is_left_alone() -> None:
    context = make_context(5, 9, needs={"anchors", "candidates"}, seed=1)
    held = context.anchors.clone(), context.negative_mask.clone()
    PmlMiner("MultiSimilarityMiner")(context)
    assert torch.equal(held[0], context.anchors)
    assert torch.equal(held[1], context.negative_mask)


@pytest.mark.parametrize(
    ("miner", "arguments", "message"),
    [
        ("BatchHard", {}, "Did you mean 'BatchHardMiner'"),
        ("BaseMiner", {}, "miner is 'BaseMiner'"),
        ("EmbeddingsAlreadyPackagedAsTriplets", {}, "miner is"),
        ("BatchHardMiner", {"margin": 1}, "arguments do not fit BatchHardMiner"),
        ("BatchEasyHardMiner", {"pos_strategy": "worst"}, "arguments do not fit"),
        (
            "BatchEasyHardMiner",
            {"pos_strategy": "semihard", "neg_strategy": "semihard"},
            "arguments do not fit",
        ),
    ],
)
def test_what_is_no_miner_is_refused(miner: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PmlMiner(miner, arguments)


def test_a_sampler_needs_the_embeddings() -> None:
    context = make_context(4, 8, needs=set(), seed=0)
    with pytest.raises(ValueError, match=r"needs context\.anchors"):
        PmlMiner("BatchHardMiner")(context)
