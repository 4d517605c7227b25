"""The timing script: it measures every augmentation and says which are too dear."""

from nsbench.benchmarks.augmentations import augmentations
from nsbench.benchmarks.testing.augmentations import small_encoder
from tools.timing.augmentations import Timed, full_view, measure, table


def test_rows_are_full_and_wrapped() -> None:
    encoder = small_encoder("tiny")
    view = full_view(encoder, 3, 12)
    assert view.ids.shape == (3, 12)
    assert view.mask.all()
    assert view.ids[0, 0] == encoder.tokenizer.cls_token_id
    assert view.ids[0, -1] == encoder.tokenizer.sep_token_id


def test_every_augmentation_is_measured_where_it_acts() -> None:
    forward, found = measure(small_encoder("tiny"), 4, 12, 2)
    assert [t.name for t in found] == augmentations.names()
    assert forward.median > 0
    _, fewer = measure(small_encoder("static"), 4, 12, 2)
    assert {t.name for t in found} - {t.name for t in fewer} == {"eda_swap", "token_shuffle"}


def test_table_marks_what_is_over_the_target() -> None:
    forward = Timed("forward", (1.0, 1.0))
    lines = table(forward, [Timed("cheap", (0.01, 0.01)), Timed("dear", (0.1, 0.1))]).splitlines()
    assert lines[1].startswith("dear")
    assert lines[1].endswith("over 0.05")
    assert "0.0100" in lines[2]
    assert not lines[2].endswith("over 0.05")
