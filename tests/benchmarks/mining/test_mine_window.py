"""What is reported is what is written; windows are wide enough, or the card says what to set."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import pairs_of

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders.pretrained import TextModel
from nsbench.benchmarks.mining.corpus import Corpus, ShortageError, mine
from nsbench.benchmarks.mining.dataset import FORMATS, MinedSet, MineSettings, mine_set
from nsbench.benchmarks.mining.dataset.formats import write_set, written
from nsbench.benchmarks.mining.dataset.mined_set import Mining
from nsbench.benchmarks.mining.dataset.report import report
from nsbench.benchmarks.mining.dataset.rescore import Rescorer
from nsbench.benchmarks.mining.dataset.write import mine_to
from nsbench.benchmarks.mining.settings import MinedFiles, Window
from nsbench.benchmarks.mining.sources import DenseSource

SIZE = 400


def on_a_line(texts: Any, role: str = "", prompt: str | None = None) -> np.ndarray[Any, Any]:
    """Texts are whole numbers; the further apart, the smaller their cosine."""
    angle = np.array([int(t) for t in texts]) / SIZE * np.pi / 2
    return np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)


MODEL = TextModel(name="test/line", revision="ab" * 20, dimension=2, how="test", run=on_a_line)


def on_line(texts: int, pairs: list[tuple[int, int]]) -> TrainingData:
    return pairs_of([str(i) for i in range(texts)], pairs, "line")


def entries(folder: Path, form: str) -> tuple[list[Any], int]:
    """Rows of the written file that have a positive, and the number of negatives in it."""
    if form == "beir":
        lines = (folder / "qrels" / "train.tsv").read_text().splitlines()[1:]
        judged = [line.split("\t") for line in lines]
        return [j for j in judged if j[2] == "1"], sum(j[2] == "0" for j in judged)
    rows = [json.loads(line) for line in (folder / "train.jsonl").open()]
    if form == "triplet":
        return [(r["anchor"], r["positive"]) for r in rows], len(rows)
    if form == "n-tuple":
        return rows, sum(len(r) - 2 for r in rows)
    if form == "labeled-pair":
        return [r for r in rows if r["label"] == 1], sum(r["label"] == 0 for r in rows)
    if form == "labeled-list":
        return rows, sum(r["labels"].count(0) for r in rows)
    pos, neg = {
        "flagembedding": ("pos", "neg"),
        "tevatron": ("positive_passages", "negative_passages"),
    }[form]
    return [p for r in rows for p in r[pos]], sum(len(r[neg]) for r in rows)


@settings(max_examples=60)
@given(
    form=st.sampled_from(FORMATS),
    shortage=st.sampled_from(["drop", "fewer", "pad_random"]),
    texts=st.integers(4, 9),
    wanted=st.integers(1, 6),
    margin=st.none() | st.sampled_from([0.0, 0.1, 0.5]),
    pairs=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(lambda p: p[0] != p[1]),
        min_size=1,
        max_size=6,
        unique=True,
    ),
)
def test_what_is_reported_is_what_is_written(
    tmp_path_factory: pytest.TempPathFactory,
    form: str,
    shortage: str,
    texts: int,
    wanted: int,
    margin: float | None,
    pairs: list[tuple[int, int]],
) -> None:
    if form == "n-tuple" and shortage == "fewer":
        return  # refused
    folder = tmp_path_factory.mktemp("set")
    data = on_line(texts, pairs)
    given_ = MineSettings(shortage=shortage, negatives=wanted, relative_margin=margin, among="all")
    made, _ = mine_to(folder, Mining(data, given_, MODEL), MinedFiles(form=form))
    counts, (rows, negatives) = made["report"]["counts"], entries(folder, form)
    assert counts["negatives"] == negatives
    assert counts["rows_written"] == len(set(map(str, rows)) if form == "triplet" else rows)
    told = made["report"]["rejected"]
    if form in ("triplet", "n-tuple", "labeled-list"):
        assert told["kept"] + counts["padded"] == negatives
    lines = (folder / "README.md").read_text()
    assert f"{counts['rows_written']} of {len(pairs)} rows, {negatives} negatives" in lines
    known = {(str(a), str(b)) for a, b in pairs} | {(str(b), str(a)) for a, b in pairs}
    if form in ("triplet", "n-tuple"):
        for line in (folder / "train.jsonl").open():
            row = json.loads(line)
            for name, text in row.items():
                if name.startswith("negative"):
                    assert (row["anchor"], text) not in known
                    assert text != row["anchor"]


def test_every_reason_is_counted_once_when_rows_are_dropped() -> None:
    data = on_line(6, [(0, 1), (5, 4), (2, 3)])
    corpus = Corpus(data, "all")
    import torch

    source = DenseSource(torch.from_numpy(on_a_line(data.texts)), name="line")
    found = mine(
        corpus, source, Window(depth=3, stop=6, margin=0.02), shortage="drop",
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert found.dropped.any()
    assert found.rejected["kept"] == (found.ids >= 0).sum()
    assert sum(found.rejected.values()) == found.codes.size


def near(margin: float, wanted: int, **more: Any) -> MinedSet:
    """Rows whose positive is far away, so that no near text passes, and one that has it near."""
    pairs = [*pairwise(range(0, SIZE, 40)), (210, 211)]
    given = MineSettings(
        **{"shortage": "drop", "negatives": wanted, "relative_margin": margin, "among": "all"}
        | more
    )
    return mine_set(on_line(SIZE, pairs), given, model=MODEL)


def test_an_automatic_window_is_wide_enough_for_its_filters() -> None:
    narrow = near(1e-4, 2, range_max=22)
    assert narrow.kept.tolist() == [False] * 9 + [True]
    mined = near(1e-4, 2)
    assert mined.kept.all()
    assert mined.short_by == {}
    assert mined.stop == mined.stops[-1] == 22 < mined.stops[:-1].min()
    assert report(mined)["window"]["rows_widened"] == 9
    # A row that had enough keeps what it had; others have the first that pass, as in the whole.
    whole = near(1e-4, 2, range_max=SIZE)
    np.testing.assert_array_equal(mined.negatives, whole.negatives)
    same = narrow.kept
    np.testing.assert_array_equal(mined.negatives[same], narrow.negatives[same])


def test_no_wider_window_is_looked_into_where_nothing_more_can_pass() -> None:
    asked: list[int] = []
    rank = DenseSource.rank

    def counting(self: DenseSource, queries: Any, k: int) -> Any:
        asked.append(k)
        return rank(self, queries, k)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DenseSource, "rank", counting)
        mined = near(0.0, 2, relative_margin=None, min_score=1.5)
    assert len(asked) == 1
    assert not mined.kept.any()


@pytest.mark.parametrize(
    ("more", "wanted", "name", "advice"),
    [
        ({"relative_margin": 0.9}, 3, "relative_margin", "loosen `relative_margin`"),
        ({"relative_margin": 0.02, "range_max": 22}, 3, "relative_margin", "higher `range_max`"),
        ({"relative_margin": None, "min_score": 0.9999}, 30, "min_score", "loosen `min_score`"),
        ({"relative_margin": None, "max_score": -0.5}, 3, "max_score", "loosen `max_score`"),
        ({"relative_margin": None, "sampler": "median_triplet"}, 3, "sampler", "sampler that"),
        ({"relative_margin": None}, SIZE, "corpus", "ask for fewer than 400 `negatives`"),
    ],
)
def test_the_card_names_the_setting_that_left_rows_short(
    tmp_path: Path, more: dict[str, Any], wanted: int, name: str, advice: str
) -> None:
    pairs = list(pairwise(range(0, SIZE, 40)))
    given = MineSettings(**{"shortage": "drop", "negatives": wanted, "among": "all"} | more)
    mining = Mining(on_line(SIZE, pairs), given, MODEL)
    made, _ = mine_to(tmp_path, mining, MinedFiles())
    found = made["report"]
    assert set(found["short_by"]) == {name}
    assert sum(found["short_by"].values()) == found["counts"]["rows_short"] > 0
    card = (tmp_path / "README.md").read_text()
    assert f"`{name}` left {found['counts']['rows_short']} rows short" in card
    assert advice in card
    with pytest.raises(ShortageError, match=f"left them short: {name}"):
        mine_set(mining.data, given.replace(shortage="error"), model=MODEL)


def test_only_sets_whose_window_grows_have_another_key(tmp_path: Path) -> None:
    data = on_line(40, [(0, 1), (5, 6)])
    recipes = {}
    for name, more in {
        "plain": {},
        "fixed": {"margin": 0.1, "range_max": 20},
        "grows": {"margin": 0.1},
    }.items():
        given = MineSettings(**{"shortage": "fewer", "negatives": 2, "among": "all"} | more)
        made, _ = mine_to(tmp_path / name, Mining(data, given, MODEL), MinedFiles())
        recipes[name] = made["recipe"]
    assert recipes == {"plain": 2, "fixed": 2, "grows": 3}


def test_a_cross_encoder_does_not_read_more_than_the_first_window() -> None:
    read: list[int] = []

    def score(pairs: Any) -> Any:
        read.append(len(pairs))
        return np.array([0.5 for _ in pairs], np.float32)

    pairs = list(pairwise(range(0, SIZE, 40)))
    given = MineSettings(shortage="drop", negatives=2, max_score=0.1, among="all")
    mined = mine_set(
        on_line(SIZE, pairs), given, model=MODEL, rescorer=Rescorer("test/ce", "cd" * 20, score)
    )
    assert mined.short_by == {"max_score": len(pairs)}
    assert max(read) <= len(pairs) * (2 * 10 + 2 + 2 + 1)


def test_rows_that_no_form_can_hold_are_left_out_before_they_are_counted(tmp_path: Path) -> None:
    rows = [("what is the capital of france", "paris"), ("who wrote hamlet", "shakespeare"),
            ("largest planet", "jupiter")]  # fmt: skip
    texts = [text for row in rows for text in row]
    data = pairs_of(texts, [(0, 1), (2, 3), (4, 5)], "three")

    def lengths(texts: Any, role: str = "", prompt: str | None = None) -> Any:
        return np.array([[len(t), 1.0] for t in texts], np.float32)

    model = TextModel("test/length", "ab" * 20, 2, "test", lengths)
    given = MineSettings(shortage="pad_random", negatives=3)
    made, _ = mine_to(tmp_path, Mining(data, given, model), MinedFiles(form="n-tuple"))
    assert (tmp_path / "train.jsonl").read_text() == ""
    assert made["report"]["counts"]["rows_written"] == 0
    mined = written(mine_set(data, given, model=model), "triplet")
    assert mined.kept.all()  # two of three negatives
    assert len(write_set(mined, tmp_path / "t", MinedFiles())) == 1
