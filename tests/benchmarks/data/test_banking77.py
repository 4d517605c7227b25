"""Banking77 through its hub name: what a machine without it says, and what is read where it is."""

import datasets as hub
import pytest

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.data._columns import Options
from nsbench.benchmarks.data._recognise import read
from nsbench.benchmarks.matrix.config import load_config


def test_an_empty_cache_offline_is_one_sentence_before_anything_trains(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(hub.config, "HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr(hub.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.config, "HF_DATASETS_CACHE", str(tmp_path))
    entry = load_config("banking77-classes").data[0]
    assert isinstance(entry, dict)
    given = {k: v for k, v in entry.items() if k != "name"}
    with pytest.raises(FileNotFoundError, match=r"mteb/banking77 at revision 0fd18e25.*prefetch"):
        datasets.make("hub", **given).check()


def test_the_label_column_becomes_the_meaning() -> None:
    """The suite's own columns, on rows of the same shape."""
    entry = load_config("banking77-classes").data[0]
    assert isinstance(entry, dict)
    rows = [
        {"text": "my card?", "label": 11, "label_text": "card_arrival"},
        {"text": "where is it", "label": 11, "label_text": "card_arrival"},
        {"text": "top up", "label": 3, "label_text": "top_up"},
    ]
    named = ((f"row {i}", row) for i, row in enumerate(rows))
    data = read(named, entry["columns"], Options(), "banking77").data("banking77", "r")
    assert data.meaning.tolist() == [0, 0, 1]
    assert (data.anchor == data.positive).all()
