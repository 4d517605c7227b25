import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets as hf
import huggingface_hub.constants
import pytest

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.data._hub import open_split
from nsbench.benchmarks.data.sts_unlabelled import SOURCES

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def cached() -> bool:
    """Whether the seven STS sets lie in the cache of this run."""
    if not hf.config.HF_HUB_OFFLINE:
        return False
    try:
        datasets.make("sts_unlabelled").check()
    except FileNotFoundError:
        return False
    return True


needs_cache = pytest.mark.skipif(
    not cached(), reason="needs the STS sets in HF_HOME and HF_HUB_OFFLINE=1"
)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The hub off, an empty cache, and a working folder of its own."""
    monkeypatch.setattr(hf.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hf.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    hf.disable_progress_bars()
    yield tmp_path
    hf.enable_progress_bars()


def repository(folder: Path, rows: list[dict[str, Any]], split: str = "train") -> None:
    """A folder that `datasets` takes for the repository me/toy."""
    where = folder / "me" / "toy"
    where.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (where / f"{split}.jsonl").write_text(text, encoding="utf-8")


def hub(**given: Any) -> Any:
    return datasets.make("hub", **{"path": "me/toy", "revision": COMMIT} | given)


def test_hub_reads_a_split_by_its_columns(offline: Path) -> None:
    repository(offline, [{"q": "a", "p": "b"}, {"q": "c", "p": "d"}])
    dataset = hub(columns={"anchor": "q", "positive": "p"})
    dataset.check()
    data = dataset()
    assert data.texts == ("a", "b", "c", "d")
    assert (data.anchor.tolist(), data.positive.tolist()) == ([0, 2], [1, 3])
    assert (data.name, data.revision) == ("me/toy", COMMIT)


def test_hub_views_and_limit(offline: Path) -> None:
    repository(offline, [{"anchor": f"a{i}", "positive": f"p{i}"} for i in range(9)])
    data = hub(views="text", limit=5)()
    assert data.rows == 5
    assert (data.anchor == data.positive).all()


def test_hub_pairs_texts_of_a_label_and_refuses_rows_without(offline: Path) -> None:
    repository(offline, [{"text": f"t{i}", "label": i % 2} for i in range(6)])
    data = hub(views="label")()
    assert ((data.anchor + data.positive) % 2 == 0).all()
    assert (data.anchor != data.positive).all()
    assert len(set(data.positive.tolist())) == 6


def test_hub_refuses_label_pairs_of_other_rows_before_it_reads(offline: Path) -> None:
    repository(offline, [{"anchor": "a", "positive": "p"}])
    with pytest.raises(ValueError, match="views = 'label' is set, but rows of anchor"):
        hub(views="label").check()


def test_hub_names_the_row_that_is_wrong(offline: Path) -> None:
    repository(offline, [{"text": "a"}, {"text": "  "}])
    with pytest.raises(ValueError, match="me/toy, train row 2: text is blank"):
        hub()()


def test_hub_refuses_unknown_columns(offline: Path) -> None:
    repository(offline, [{"x": "a"}])
    with pytest.raises(ValueError, match="no layout fits the columns x"):
        hub().check()


def test_hub_refuses_an_unknown_split(offline: Path) -> None:
    repository(offline, [{"text": "a"}], "test")
    with pytest.raises(ValueError, match="train"):
        hub().check()


def test_hub_offline_and_not_cached_says_what_to_do(offline: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        hub(config="c").check()
    assert str(error.value) == (
        f"hub data set me/toy at revision {COMMIT}, configuration c is not in the cache "
        f"{offline / 'cache'} and the hub is switched off: run nsbench prefetch where there is a "
        "network, or unset HF_HUB_OFFLINE"
    )


def test_sts_unlabelled_offline_and_not_cached_says_what_to_do(offline: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"mteb/sts12-sts at revision a0d554a6.* unset"):
        datasets.make("sts_unlabelled").check()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"path": "../x/y"}, "hub: path must be owner/name as on the hub, got '../x/y'"),
        ({"path": "a/b/c"}, "hub: path must be owner/name as on the hub, got 'a/b/c'"),
        ({"revision": "main"}, "revision must be a commit of me/toy, 40 hexadecimal digits"),
        ({"revision": COMMIT[:10]}, "got '0123456789': branches and tags move"),
        ({"columns": {"txt": "a"}}, "hub: a key of columns is 'txt'. Did you mean 'text'?"),
        ({"min_score": float("nan")}, "hub: min_score must be a number or left out, got nan"),
        ({"nli": "x"}, "hub: nli is 'x'"),
    ],
)
def test_impossible_hub_parameters_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="hub: ") as error:
        hub(**given)
    assert message in str(error.value)


def test_the_revision_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match="data set 'hub' needs the parameter 'revision'"):
        datasets.make("hub", path="me/toy")


@pytest.mark.parametrize("given", [{"duplicates": "kep"}, {"limit": -1}, {"seed": -1}])
def test_impossible_sts_parameters_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"sts_unlabelled: {next(iter(given))} "):
        datasets.make("sts_unlabelled", **given)


@needs_cache
def test_sts_unlabelled_holds_both_columns_of_every_split() -> None:
    data = datasets.make("sts_unlabelled")()
    pairs = sum(len(open_split(source, s)) for source, splits in SOURCES for s in splits)
    assert data.rows == 2 * pairs == 62_198
    assert (data.anchor == data.positive).all()
    assert data.negatives.shape == (data.rows, 0)


@needs_cache
def test_sts_unlabelled_without_duplicates() -> None:
    data = datasets.make("sts_unlabelled", duplicates="drop")()
    assert data.rows == len(data.texts) == len(set(data.group.tolist())) == 38_585


@needs_cache
def test_sts_unlabelled_few_shot_is_seeded_and_nested() -> None:
    one, more, other = (
        datasets.make("sts_unlabelled", limit=n, seed=s)() for n, s in ((50, 0), (80, 0), (50, 1))
    )
    first = [more.texts[i] for i in more.anchor[:50]]
    assert [one.texts[i] for i in one.anchor] == first
    assert one.digest != other.digest
    assert one.revision != more.revision


@needs_cache
def test_hub_refuses_a_cached_copy_of_another_revision() -> None:
    with pytest.raises(FileNotFoundError, match=r"which holds revision a0d554a6.* instead"):
        hub(path="mteb/sts12-sts", split="test").check()


@needs_cache
def test_hub_names_the_splits_of_a_cached_copy() -> None:
    source = SOURCES[0][0]
    with pytest.raises(ValueError, match=r"has no split 'train'\. Known: test"):
        hub(path=source.path, revision=source.revision).check()


@needs_cache
def test_scores_of_a_cached_copy_make_pairs() -> None:
    source = SOURCES[5][0]
    data = hub(path=source.path, revision=source.revision, min_score=4.0)()
    assert 0 < data.rows < 5749
    assert (data.anchor != data.positive).mean() > 0.9


@pytest.mark.slow
def test_sts_revisions_are_those_of_mteb() -> None:
    import mteb

    names = ("STS12", "STS13", "STS14", "STS15", "STS16", "STSBenchmark", "SICK-R")
    for name, (source, _) in zip(names, SOURCES, strict=True):
        told = mteb.get_task(name).metadata.dataset
        assert (told["path"], told["revision"]) == (source.path, source.revision)
