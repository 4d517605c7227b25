import pytest
import torch

from nsbench.samplers import make
from nsbench.samplers.testing import expect_oracle, make_context


@pytest.mark.parametrize(("kind", "margin"), [("percent", 0.3), ("margin", 0.2), ("margin", 0.0)])
def test_positive_aware_keeps_the_hardest_safe_ones(kind: str, margin: float) -> None:
    def rule(row: list[float], s_pos: float, hardest_first: list[int]) -> list[int]:
        room = margin * abs(s_pos) if kind == "percent" else margin
        return [j for j in hardest_first if row[j] <= s_pos - room][:3]

    expect_oracle(make("positive_aware", filter=kind, margin=margin, k=3), rule)


def test_law_perc_pos_keeps_nothing_above_95_percent() -> None:
    for seed in range(4):
        context = make_context(6, 40, needs=(), seed=seed)
        mask = make("positive_aware", k=100)(context).mask
        s_pos = context.positive_similarity[:, None].expand_as(mask)
        bound = torch.where(s_pos > 0, 0.95 * s_pos, 1.05 * s_pos)
        assert (context.similarity[mask] <= bound[mask] + 1e-6).all()


def test_law_margin_pos_is_blind_to_shifts_and_perc_pos_is_not() -> None:
    context = make_context(8, 60, needs=(), seed=2)
    half = context.replace(similarity=context.similarity / 2)
    moved = half.replace(similarity=half.similarity + 0.5)
    margin = make("positive_aware", filter="margin", margin=0.1, k=100)
    assert torch.equal(margin(half).mask, margin(moved).mask)
    percent = make("positive_aware", filter="percent", margin=0.3, k=100)
    assert not torch.equal(percent(half).mask, percent(moved).mask)


def test_positive_aware_lets_a_guide_judge() -> None:
    context = make_context(6, 40)
    guide = context.require("guide_similarity")
    mask = make("positive_aware", judge="guide", k=4)(context).mask
    own = make("positive_aware", k=4)(context.replace(similarity=guide)).mask
    assert torch.equal(mask, own)
