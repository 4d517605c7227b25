import torch

from nsbench.samplers import make
from nsbench.samplers.testing import make_context


def test_text_dedup_equals_nested_loops() -> None:
    context = make_context(5, 12)
    overlap = context.require("token_overlap")
    mask = make("text_dedup", threshold=0.6)(context).mask
    for i in range(5):
        for j in range(12):
            kept = bool(context.negative_mask[i, j]) and overlap[i, j].item() < 0.6
            assert bool(mask[i, j]) == kept


def test_text_dedup_drops_at_its_threshold() -> None:
    context = make_context(5, 12)
    same = context.replace(token_overlap=torch.ones_like(context.similarity))
    assert not make("text_dedup", threshold=1.0)(same).mask.any()
