import pytest
import torch

from nsbench.samplers import make
from nsbench.samplers.testing import chosen, make_context


@pytest.mark.parametrize("mode", ["elimination", "attraction"])
def test_fn_cancel_equals_nested_loops(mode: str) -> None:
    sampler = make("fn_cancel", top_k=3, threshold=0.3, mode=mode)
    for seed in range(4):
        context = make_context(5, 12, seed=seed)
        support = context.require("support_similarity")
        selection = sampler(context)
        for i in range(5):
            allowed = [j for j in range(12) if bool(context.negative_mask[i, j])]
            top = sorted(allowed, key=lambda j: (-support[i, j].item(), j))[:3]
            false = {j for j in top if support[i, j].item() > 0.3}
            assert chosen(selection.mask)[i] == set(allowed) - false
            if mode == "attraction":
                assert chosen(selection.attract)[i] == false
            else:
                assert selection.attract is None


@pytest.mark.parametrize("given", [{"threshold": 1.0}, {"top_k": 0}])
def test_law_fnc_without_detections_is_in_batch(given: dict[str, float]) -> None:
    context = make_context(6, 30)
    selection = make("fn_cancel", **given)(context)
    assert torch.equal(selection.mask, context.negative_mask)
    assert not selection.attract.any()


def test_law_fnc_detects_at_most_top_k() -> None:
    for top_k in (1, 4, 9):
        context = make_context(6, 30)
        sampler = make("fn_cancel", top_k=top_k, threshold=-1.0, mode="elimination")
        dropped = (context.negative_mask & ~sampler(context).mask).sum(dim=1)
        assert torch.equal(dropped, context.eligible[:, 0].clamp(max=top_k))


def test_law_fnc_elimination_with_a_perfect_oracle_is_oracle_elimination() -> None:
    context = make_context(6, 30)
    truth = context.require("truth")
    knowing = context.replace(support_similarity=torch.where(truth, 0.9, 0.1))
    sampler = make("fn_cancel", top_k=30, threshold=0.5, mode="elimination")
    assert torch.equal(sampler(knowing).mask, make("oracle")(context).mask)
