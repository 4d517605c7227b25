"""No-op rates: whatever an augmentation did not change is counted, whatever it changed is not."""

from typing import Any

import pytest
import torch

from nsbench.benchmarks.augmentations import augmentations, bound
from nsbench.benchmarks.contrast.views import untouched
from nsbench.benchmarks.testing.augmentations import TEXTS, seeded, small_encoder, view_of


def rate(name: str, texts: tuple[str, ...] = TEXTS, **given: Any) -> float:
    encoder = small_encoder("tiny")
    plain = view_of(encoder, texts)
    view = bound(augmentations.make(name, **given), encoder)(plain, seeded(0))
    return float(untouched(view, plain).double().mean())


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("prompt", {}),
        ("eda_delete", {"rate": 1.0}),
        ("eda_swap", {}),
        ("eda_insert", {}),
        ("eda_synonym", {}),
        ("feature_cutoff", {"rate": 0.5}),
        ("embedding_dropout", {}),
        ("dropout", {}),
        ("token_cutoff", {"rate": 0.5}),
        ("span_cutoff", {"rate": 0.5}),
    ],
)
def test_a_changed_text_is_no_no_op(name: str, given: dict[str, Any]) -> None:
    assert rate(name, TEXTS[:3], **given) == 0


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("none", {}),
        ("prompt", {"template": "{text}"}),
        ("eda_delete", {}),
        ("eda_swap", {}),
        ("eda_insert", {}),
        ("eda_synonym", {}),
        ("token_cutoff", {}),
        ("span_cutoff", {}),
        ("word_repetition", {}),
        ("dropout", {"rate": 0.0}),
    ],
)
def test_a_text_of_one_word_is_left_alone(name: str, given: dict[str, Any]) -> None:
    assert rate(name, ("yes",), **given) == 1


def test_token_cutoff_cannot_act_on_texts_shorter_than_its_rate_asks() -> None:
    # 6 tokens with [CLS] and [SEP] at rate 0.15: int(0.9) = 0.
    assert rate("token_cutoff", ("several volunteers happily sold", *TEXTS[:3])) == 0.25


def test_a_repeated_token_counts_though_the_rest_is_equal() -> None:
    encoder = small_encoder("tiny")
    plain = view_of(encoder)
    longer = plain.replace(mask=plain.mask.roll(1, dims=1) | plain.mask)
    assert not untouched(longer, plain).any()


def test_cells_log_no_op_rates_and_alarm(run_matrix: Any, small: Any) -> None:
    import pandas as pd

    folder, records = run_matrix(
        small(
            augmentations=[
                ["none", "eda_delete"],
                ["none", {"name": "prompt", "template": "{text}"}],
                ["word_repetition", "eda_insert"],
            ]
        )
    )
    assert [r.status for r in records] == ["done"] * 3, [r.reason for r in records]
    found = {}
    for paths in folder.folders():
        table = pd.read_parquet(paths.difficulty).groupby("quantity")["mean"].mean()
        label = next(r for r in records if r.key in paths.folder.name).cell["labels"]
        found[label["augmentation"]] = table
    assert found["none | eda_delete"]["noop_view1"] == 1
    assert 0 < found["none | eda_delete"]["noop_view2"] < 0.7
    assert found["word_repetition | eda_insert"]["noop_view2"] < 0.05
    identity = next(v for k, v in found.items() if "prompt" in k)
    assert identity["noop_view2"] == 1
    alarms = {a["name"] for r in records for a in r.alarms if "prompt" in str(r.cell["labels"])}
    assert "noop_view2" in alarms
    assert torch.is_grad_enabled()


def test_swap_is_skipped_on_a_bag_of_tokens(run_matrix: Any, small: Any) -> None:
    _, records = run_matrix(small(augmentations=["none", "eda_swap"]))
    (record,) = (r for r in records if r.status == "skipped")
    assert "eda_swap" in record.reason
