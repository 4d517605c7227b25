"""SSCL: the layer below the last as negatives, and the mean of two losses."""

from typing import Any

import pytest
import torch
from made_losses import every, expect_agreement, loss_of
from made_training import method, opened, unbroken
from running import Build, planned_of
from torch.nn.functional import cross_entropy, normalize

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import append_synthetic, make
from nsbench.samplers.testing import answer, make_context, of_views, two_views, unit

NEEDS = ("anchors", "lower")


def test_lower_layer_adds_the_same_embeddings_to_every_anchor() -> None:
    context = make_context(5, 20, needs=NEEDS)
    lower = context.require("lower")
    seen, picked = answer(make("lower_layer"), context)
    assert seen.similarity.shape == (5, 20 + len(lower))
    for i in range(5):
        for k in range(len(lower)):
            wanted = float(context.require("anchors")[i] @ lower[k])
            assert float(seen.similarity[i, 20 + k]) == pytest.approx(wanted, abs=1e-5)
    assert torch.equal(picked.mask[:, :20], context.negative_mask)
    assert picked.mask[context.negative_mask.any(dim=1), 20:].all()


def test_agreement_with_the_loss_of_sscl() -> None:
    one, two = two_views(6)
    lower = unit(12, 8, generator=torch.Generator().manual_seed(3))
    raw = [v.clone().requires_grad_() for v in (one, two)]
    z1, z2 = (normalize(v, dim=1) for v in raw)
    plain, labels = z1 @ z2.T / 0.05, torch.arange(6)
    more = torch.cat([plain, z1 @ lower.T / 0.05], dim=1)
    theirs = (cross_entropy(plain, labels) + cross_entropy(more, labels)) / 2
    context = of_views(z1.detach(), z2.detach()).replace(anchors=z1.detach(), lower=lower)
    context = append_synthetic(context, lower.expand(6, 12, 8))
    similarity = torch.cat([z1 @ z2.T, z1 @ lower.T], dim=1)
    mine = objectives.make("with_and_without")(similarity, context, every(context)).mean()
    expect_agreement(mine, theirs, raw)


def test_law_without_made_candidates_it_is_the_inner_loss() -> None:
    context = make_context(6, 30, needs=())
    assert torch.equal(loss_of("info_nce", context), loss_of("with_and_without", context))


def begun() -> Any:
    data = datasets.make("planted", rows=60)()
    encoder = encoders.make("tiny", dimension=16, layers=3).build(data.texts, 0)
    objective = objectives.make("with_and_without")
    return opened(encoder, data, method(make("lower_layer"), objective=objective, steps=8))


def test_the_lower_layer_is_the_mean_of_the_hidden_states_below_the_last() -> None:
    under = begun()
    under.extras.refresh(0, 8)
    batch = under.next_batch(0)
    encoder = under.world.encoder
    views = [under.make_step._view(t) for t in (batch.texts1, batch.texts2)]
    wanted = []
    encoder.model.eval()
    with torch.no_grad():
        for view in views:
            mask = view.mask[:, :, None].float()
            out = encoder.model(
                input_ids=view.ids, attention_mask=view.mask.long(), output_hidden_states=True
            )
            states = out.hidden_states[-2]
            wanted.append((states * mask).sum(dim=1) / mask.sum(dim=1))
    encoder.train()
    stepped = under.make_step(batch)
    found = stepped.context.require("lower")
    torch.testing.assert_close(found, normalize(torch.cat(wanted), dim=1), rtol=1e-3, atol=1e-4)
    assert stepped.context.similarity.shape == (8, 8 + 16)


def test_a_training_with_a_lower_layer_resumes_as_if_never_stopped() -> None:
    whole = unbroken(begun, after=4)
    assert whole.cost["passes_lower"] == 8 * 32


def test_an_encoder_without_layers_is_skipped(small: Build) -> None:
    static, tiny = planned_of(small(samplers=["lower_layer"], encoders=["static", "tiny"]))
    assert "has no layers" in static.skip
    assert not tiny.skip
