"""What was chosen on shared batches, against plain loops over what the sampler answered."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from made_training import CPU, context_of
from torch.nn import functional

from nsbench.benchmarks.contrast.context import Contrast, Known, extend, lay_out
from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.difficulty.choices import ANCHORS, LONGEST, Choices, texts_of
from nsbench.benchmarks.difficulty.gradient import softmax_weights
from nsbench.samplers import Selection, SimilarityContext, samplers


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return datasets.make("planted", rows=200, duplicate_rate=0.2)()


def a_batch(
    data: TrainingData, size: int = 40, *, both: bool = False
) -> tuple[Contrast, SimilarityContext]:
    draw = torch.Generator().manual_seed(3)
    z = functional.normalize(torch.randn(2 * size, 8, generator=draw), dim=-1)
    texts1, texts2 = (torch.from_numpy(ids[:size]) for ids in (data.anchor, data.positive))
    contrast = lay_out(z[:size], z[size:], texts1, texts2, both=both)
    return contrast, context_of(contrast, data)


@pytest.mark.parametrize("both", [False, True])
def test_rows_equal_loops(data: TrainingData, both: bool) -> None:
    contrast, context = a_batch(data, both=both)
    selection = samplers.make("hard", k=12)(context)
    choices = Choices(Known(data, CPU), 5)
    choices.add(0, contrast, context, selection)
    table = choices.table()
    weights = softmax_weights(context, selection)
    for i in range(ANCHORS):
        wanted: dict[int, float] = {}
        for j in range(selection.mask.shape[1]):
            if selection.mask[i, j]:
                group = int(data.group[contrast.column_texts[j]])
                wanted[group] = wanted.get(group, 0.0) + float(weights[i, j])
        found = table[table["place"] == i]
        assert dict(zip(found["candidate"], found["weight"], strict=True)) == pytest.approx(wanted)
        assert set(found["anchor"]) == {int(data.group[contrast.anchor_texts[i]])}
        assert set(found["candidates"]) == {int(context.negative_mask[i].sum())}
        for candidate, own in found.groupby("candidate"):
            columns = [
                j
                for j in np.flatnonzero(selection.mask[i].numpy())
                if data.group[contrast.column_texts[j]] == candidate
            ]
            seen = context.similarity[i, columns]
            assert own["similarity"].item() == pytest.approx(float(seen.max()))
            harder = context.negative_mask[i] & (context.similarity[i] > seen.max())
            assert own["rank"].item() == int(harder.sum())
            meaning = data.meaning[[contrast.anchor_texts[i], contrast.column_texts[columns[0]]]]
            assert own["same_meaning"].item() == int(meaning[0] == meaning[1])
        assert set(found["positive"]) == {int(data.group[contrast.positive_texts[i]])}
    assert set(table["above_in_guide"]) == {-1}
    assert table["place"].max() == ANCHORS - 1


def test_only_the_first_and_the_last_step_are_kept(data: TrainingData) -> None:
    contrast, context = a_batch(data)
    choices = Choices(Known(data, CPU), 7)
    for step in range(7):
        choices.add(step, contrast, context, samplers.make("in_batch")(context))
    assert sorted(set(choices.table()["step"])) == [0, 6]


def test_made_candidates_have_no_text(data: TrainingData) -> None:
    contrast, context = a_batch(data)
    made = functional.normalize(torch.ones(len(contrast.anchors), 3, 8), dim=-1)
    context, _ = extend(context, context.similarity, contrast.anchors, made)
    choices = Choices(Known(data, CPU), 1)
    choices.add(0, contrast, context, Selection(mask=context.negative_mask))
    table = choices.table()
    sums = table.groupby("place")["weight"].sum()
    assert np.allclose(sums, 1, atol=1e-5)
    assert (table[table["candidate"] == -1].groupby("place").size() == 1).all()


def test_saved_and_restored_gives_the_same_table(data: TrainingData) -> None:
    contrast, context = a_batch(data)
    one, other = Choices(Known(data, CPU), 2), Choices(Known(data, CPU), 2)
    one.add(0, contrast, context, samplers.make("hard")(context))
    other.load(one.state())
    for choices in (one, other):
        choices.add(1, contrast, context, samplers.make("easiest")(context))
    pd.testing.assert_frame_equal(one.table(), other.table())
    assert set(other.table()["step"]) == {0, 1}


def test_a_guide_marks_what_it_holds_for_closer_than_the_positive(data: TrainingData) -> None:
    contrast, context = a_batch(data)
    guide = torch.zeros_like(context.similarity)
    guide.scatter_(1, context.positive[:, None], 0.5)
    guide[:, 3] = 0.6
    choices = Choices(Known(data, CPU), 1)
    context = replace(context, guide_similarity=guide)
    choices.add(0, contrast, context, Selection(mask=context.negative_mask))
    table = choices.table()
    marked = set(table.loc[table["above_in_guide"] == 1, "candidate"])
    assert marked == {int(data.group[contrast.column_texts[3]])}


def test_texts_are_those_that_the_choices_name(data: TrainingData) -> None:
    contrast, context = a_batch(data)
    choices = Choices(Known(data, CPU), 1)
    choices.add(0, contrast, context, samplers.make("hard", k=2)(context))
    table = choices.table()
    long = replace(data, texts=tuple(f"{t} {'x' * LONGEST}" for t in data.texts))
    for given, shown in ((data, data.texts), (long, [t[: LONGEST - 1] + "…" for t in long.texts])):
        texts = texts_of(table, given)
        named = {*table["anchor"], *table["positive"], *table["candidate"]}
        assert set(texts["text"]) == named
        for number, content in zip(texts["text"], texts["content"], strict=True):
            assert content in {shown[i] for i in np.flatnonzero(data.group == number)}
