from typing import Any

import torch
from torch.nn.functional import normalize

from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import SimilarityContext, append_synthetic, make
from nsbench.samplers.noise import ascent
from nsbench.samplers.testing import answer, make_context


def loss_with(context: SimilarityContext, raw: torch.Tensor) -> torch.Tensor:
    """Summed InfoNCE with noise among the negatives, by autograd's own way."""
    anchors = context.require("anchors")
    cosine = anchors @ normalize(raw, dim=-1).T
    counted = context.negative_mask.scatter(1, context.positive[:, None], True)
    real = (context.similarity / context.temperature).masked_fill(~counted, -torch.inf)
    logits = torch.cat([real, cosine / context.temperature], dim=1)
    return (
        torch.logsumexp(logits, dim=1) - context.positive_similarity / context.temperature
    ).sum()


def test_noise_ascent_is_the_gradient_of_info_nce() -> None:
    context = make_context(5, 20, needs=("anchors",)).replace(temperature=0.3)
    raw = torch.randn(7, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (expected,) = torch.autograd.grad(loss_with(context, raw), raw)
    torch.testing.assert_close(ascent(context, context.require("anchors"), raw.detach()), expected)


def test_law_dclr_noise_ascent_increases_the_loss() -> None:
    for seed in range(4):
        context = make_context(5, 20, needs=("anchors",), seed=seed).replace(temperature=0.2)
        losses = []
        for steps in (0, 1, 2, 4, 8):
            generator = torch.Generator().manual_seed(3)
            sampler: Any = make("noise", steps=steps, step_size=0.01)
            made = sampler.synthesize(context.replace(generator=generator))
            seen = append_synthetic(context, made)
            selection = make("in_batch")(seen)
            objective = objectives.make("info_nce", temperature=0.2)
            losses.append(objective(seen.similarity, seen, selection).sum().item())
        assert losses == sorted(losses)
        assert losses[-1] > losses[0]


def test_noise_is_shared_by_all_anchors() -> None:
    context = make_context(5, 20, needs=("anchors",))
    made = make("noise", times=2.5).synthesize(context)  # type: ignore[attr-defined]
    assert made.shape == (5, 12, 8)
    assert (made == made[:1]).all()
    torch.testing.assert_close(made.norm(dim=-1), torch.ones(5, 12))


def test_noise_with_complementary_never_weighs_the_noise() -> None:
    context = make_context(5, 20)
    seen, selection = answer(make("noise", then="complementary[phi=-0.5]"), context)
    assert selection.mask[:, 20:].all()
    seen, selection = answer(
        make("noise", then="complementary[phi=-0.5,variant=official]"), context
    )
    assert seen.similarity.shape == (5, 26)  # five of noise, one for what was dropped
    assert selection.mask[:, 20:25].all()
    assert (seen.similarity[:, 25] == 0).all()


def test_noise_is_nearly_orthogonal_to_everything() -> None:
    # Cosine of random directions in d = 256: standard deviation 1 / sqrt(d) = 0.0625.
    context = make_context(8, 20, needs=("anchors",), dimensions=256)
    seen, _ = answer(make("noise", times=8.0, steps=0), context)
    assert abs(seen.similarity[:, 20:].std().item() - 0.0625) < 0.01
