import math
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from nsbench.benchmarks.data import (
    LabelledTexts,
    Pairs,
    TrainingData,
    datasets,
    false_negative_rate,
)
from nsbench.benchmarks.data._frames import (
    FLIP,
    SLOTS,
    WEIGHTS,
    Frame,
    draw,
    frame,
    graded_similarity,
    group_sizes,
    in_part,
    one_slot_changed,
    similarities,
    sizes,
)
from nsbench.benchmarks.data._lexicon import article, lexicon, noun, plural, verb
from nsbench.benchmarks.data.planted import Planted, wordings

RATES = (0.0, 0.05, 0.2)


def frames(n: int, seed: int = 0) -> np.ndarray:
    return draw(n, np.random.default_rng(seed))


def near_miss_share(planted: Planted) -> float:
    """Share of rows with another row one slot away, by a dictionary of wildcards."""
    data = planted()
    meanings = {m: planted.frames[m].tolist() for m in data.meaning[data.anchor].tolist()}
    at: dict[tuple[object, ...], set[int]] = {}
    for m, slots in meanings.items():
        for s in range(1, 9):
            at.setdefault((s, *slots[:s], *slots[s + 1 :]), set()).add(m)
    near = {m for group in at.values() if len(group) > 1 for m in group}
    return sum(m in near for m in data.meaning[data.anchor].tolist()) / data.rows


# --- graded similarity


def test_weights_add_up_to_five() -> None:
    assert math.fsum(WEIGHTS.values()) == pytest.approx(5)
    assert set(WEIGHTS) | {"negative"} == set(SLOTS)


def test_graded_similarity_is_symmetric_and_in_range() -> None:
    f, g = frames(2000, 1), frames(2000, 2)
    s = similarities(f, g)
    assert (s == similarities(g, f)).all()
    assert s.min() >= 0
    assert s.max() < 5


def test_graded_similarity_is_five_only_for_the_same_frame() -> None:
    f = frames(3000)
    assert (similarities(f, f) == 5).all()
    assert similarities(f, one_slot_changed(f, np.random.default_rng(3))).max() < 5


def test_graded_similarity_falls_with_every_further_slot_changed() -> None:
    rng = np.random.default_rng(4)
    f = frames(500)
    g = f.copy()
    last = np.full(len(f), 5.0)
    for slot in rng.permutation(np.arange(1, 9)):
        g[:, slot] = (g[:, slot] + 1) % sizes()[slot]
        now = similarities(f, g)
        assert (now < last).all()
        last = now
    assert (last == WEIGHTS["topic"] * FLIP).all()


def test_graded_similarity_by_hand() -> None:
    f = Frame(0, 0, 1, 2, 0, 3, 4, 5, negative=False)
    assert graded_similarity(f, Frame(0, 0, 1, 2, 0, 3, 4, 6, negative=False)) == 4.7
    assert graded_similarity(f, Frame(0, 0, 1, 2, 0, 3, 4, 5, negative=True)) == 2.5
    # Another topic: the shared agent and place count, the topic's own action and object do not.
    assert graded_similarity(f, Frame(1, 0, 1, 2, 0, 3, 4, 5, negative=False)) == 2.1
    own = lexicon().shared_agents
    g = Frame(0, own, 1, 2, 0, 3, 4, 5, negative=False)
    assert graded_similarity(g, Frame(1, own, 1, 2, 0, 3, 4, 5, negative=False)) == 1.3


def test_frame_refuses_a_slot_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"Frame: manner must be in \[0, 7\], got 8"):
        Frame(0, 0, 0, 0, 0, 0, 0, 8, negative=False)


def test_frame_reads_as_words() -> None:
    words = frame([0, 6, 0, 0, 3, 0, 1, 0, 1]).words()
    assert words["topic"] == "kitchen"
    assert words["agent"] == "cook"
    assert words["polarity"] == "negative"
    assert frame([0, 6, 0, 0, 3, 0, 1, 0, 1]).code != frame([0, 6, 0, 0, 3, 0, 1, 0, 0]).code


# --- dialled rates


@pytest.mark.parametrize("rate", [0.0, 0.003, 0.05, 0.2, 0.45, 0.63, 0.9])
@pytest.mark.parametrize("rows", [2, 17, 1000])
def test_group_sizes_meet_the_rate_to_within_two_pairs(rows: int, rate: float) -> None:
    group = group_sizes(rows, rate)
    assert sum(group) == rows
    short = rate * rows * (rows - 1) - sum(n * (n - 1) for n in group)
    # A handful of rows cannot meet every high rate: one row more would overshoot.
    assert 0 <= short < (2 if rows == 1000 or rate <= 0.2 else 2 * rows)


@pytest.mark.parametrize("views", ["pairs", "text"])
@pytest.mark.parametrize("rate", RATES)
def test_false_negative_rate_is_the_dialled_one(rate: float, views: str) -> None:
    data = Planted(rows=2000, false_negative_rate=rate, views=views)()
    assert false_negative_rate(data) == pytest.approx(rate, abs=2 / 2000**2)


def test_false_negative_rate_by_nested_loops() -> None:
    data = Planted(rows=60, false_negative_rate=0.2, duplicate_rate=0.3)()
    hits = pairs = 0
    for r in range(data.rows):
        for s in range(data.rows):
            text = data.texts[data.positive[s]]
            if r == s or text in (data.texts[data.anchor[r]], data.texts[data.positive[r]]):
                continue
            pairs += 1
            hits += data.meaning[data.positive[s]] == data.meaning[data.anchor[r]]
    assert false_negative_rate(data) == pytest.approx(hits / pairs)


@pytest.mark.parametrize("rate", RATES)
def test_uniform_batches_pick_up_the_dialled_rate(rate: float) -> None:
    """One candidate for each of n independent anchors is a Bernoulli draw at the dialled rate.

    So the count is binomial, and lies within 4 standard deviations but for 1 case in 16,000.
    """
    data = Planted(rows=2000, false_negative_rate=rate)()
    rng = np.random.default_rng(7)
    n = 20_000
    r = rng.integers(0, data.rows, size=n)
    s = (r + rng.integers(1, data.rows, size=n)) % data.rows
    hits = (data.meaning[data.anchor[r]] == data.meaning[data.positive[s]]).mean()
    assert abs(hits - rate) <= 4 * math.sqrt(rate * (1 - rate) / n)


@pytest.mark.parametrize("fn", [0.0, 0.05])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_near_misses_hold_the_dialled_share_of_rows(rate: float, fn: float) -> None:
    planted = Planted(rows=1000, false_negative_rate=fn, near_miss_rate=rate)
    assert near_miss_share(planted) == pytest.approx(rate, abs=0.002)


def test_near_misses_that_find_no_room_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsbench.benchmarks.data._frames._ROUNDS", 1)
    with pytest.raises(ValueError, match="no room for 5000 meanings without near misses"):
        Planted(rows=5000, false_negative_rate=0)()


# --- rows


def test_pairs_word_one_meaning_twice() -> None:
    data = Planted(rows=500)()
    assert (data.meaning[data.anchor] == data.meaning[data.positive]).all()
    assert (data.anchor != data.positive).all()
    assert len(data.texts) == 1000


def test_text_views_are_the_same_text() -> None:
    data = Planted(rows=500, views="text")()
    assert (data.anchor == data.positive).all()
    assert len(data.texts) == 500


def test_no_text_occurs_twice_unless_asked() -> None:
    data = Planted(rows=3000, false_negative_rate=0.9, negatives=1)()
    assert len(set(data.group.tolist())) == len(data.texts)


@pytest.mark.parametrize("views", ["pairs", "text"])
def test_duplicates_are_the_dialled_share_and_keep_their_meaning(views: str) -> None:
    data = Planted(rows=400, duplicate_rate=0.25, views=views, negatives=1)()
    assert data.rows == 400
    assert len(set(data.group[data.anchor].tolist())) == 300
    of_group: dict[int, int] = {}
    for group, meaning in zip(data.group.tolist(), data.meaning.tolist(), strict=True):
        assert of_group.setdefault(group, meaning) == meaning
    assert sorted(set(np.concatenate([data.anchor, data.positive, data.negatives[:, 0]]))) == list(
        range(len(data.texts))
    )


def test_given_negatives_change_one_slot() -> None:
    planted = Planted(rows=200, negatives=3)
    data = planted()
    assert data.negatives.shape == (200, 3)
    for column in data.negatives.T:
        mine = planted.frames[data.meaning[data.anchor]]
        other = planted.frames[data.meaning[column]]
        assert ((mine != other).sum(axis=1) == 1).all()
        assert in_part(other, "train").all()


def test_rows_are_not_ordered_by_meaning() -> None:
    meaning = Planted(rows=2000, false_negative_rate=0.2)()
    alike = (meaning.meaning[meaning.anchor][1:] == meaning.meaning[meaning.anchor][:-1]).mean()
    assert alike == pytest.approx(0.2, abs=4 * math.sqrt(0.2 * 0.8 / 2000))


def test_the_seed_decides_the_bytes() -> None:
    one, same, other = (Planted(rows=300, seed=s)() for s in (0, 0, 1))
    assert one.digest == same.digest
    assert one.digest != other.digest
    assert one.revision == f"sha256:{one.digest}"


def test_no_global_generator_is_touched() -> None:
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    Planted(rows=50)()
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


# --- evaluation sets


def evaluation() -> tuple[Pairs, LabelledTexts, Pairs]:
    planted = Planted(rows=2)
    sts, topics = planted.tests()
    assert isinstance(sts, Pairs)
    assert isinstance(topics, LabelledTexts)
    return sts, topics, planted.dev()


def test_evaluation_sets_share_no_frame_and_no_text_with_training() -> None:
    planted = Planted(rows=5000, false_negative_rate=0, negatives=1)
    train = set(planted().texts)
    assert in_part(planted.frames, "train").all()
    sts, topics, dev = evaluation()
    test = {*sts.sentence1, *sts.sentence2, *topics.train_texts, *topics.test_texts}
    tuned = {*dev.sentence1, *dev.sentence2}
    assert not train & test
    assert not train & tuned
    assert not test & tuned


def test_parts_take_their_tenths_of_all_frames() -> None:
    f = frames(20_000)
    for part, share in (("train", 0.8), ("test", 0.1), ("dev", 0.1)):
        bound = 4 * math.sqrt(share * (1 - share) / 20_000)
        assert in_part(f, part).mean() == pytest.approx(share, abs=bound)


def test_graded_pairs_spread_evenly_over_all_levels() -> None:
    sts, _, dev = evaluation()
    for pairs, n in ((sts, 100), (dev, 50)):
        assert np.histogram(pairs.score, 10, (0, 5))[0].tolist() == [n] * 10
        assert max(pairs.score) == 5
        assert min(pairs.score) < 0.5
    assert (sts.name, dev.name) == ("planted-sts", "planted-sts-dev")


def test_topics_are_balanced_and_disjoint() -> None:
    _, topics, _ = evaluation()
    assert set(Counter(topics.train_labels).values()) == {8}
    assert set(Counter(topics.test_labels).values()) == {100}
    assert not set(topics.train_texts) & set(topics.test_texts)
    assert topics.label_names[0] == "kitchen"


def test_evaluation_sets_do_not_depend_on_the_parameters() -> None:
    assert Planted(rows=2).tests() == Planted(rows=9, seed=5, false_negative_rate=0.3).tests()


def test_words_alone_rank_the_pairs_above_chance_and_far_from_perfectly() -> None:
    """A bag of words has signal to start from and room to improve: Spearman in (0.2, 0.6)."""
    sts, _, _ = evaluation()

    def bag(text: str) -> Counter[str]:
        return Counter(re.findall(r"[a-z']+", text.lower()))

    def cosine(a: Counter[str], b: Counter[str]) -> float:
        dot = sum(n * b[w] for w, n in a.items())
        return dot / math.sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))

    got = [cosine(bag(a), bag(b)) for a, b in zip(sts.sentence1, sts.sentence2, strict=True)]
    order = [np.argsort(np.argsort(x)) for x in (got, sts.score)]
    assert 0.2 < np.corrcoef(*order)[0, 1] < 0.6


# --- English


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    return wordings(frames(20_000, 11), np.random.default_rng(11))


def test_sentences_are_whole(sentences: list[str]) -> None:
    for text in sentences:
        assert re.fullmatch(r"[A-Z][A-Za-z' ,-]*[a-z]\.", text), text
        assert "  " not in text
        assert " ," not in text
        assert ",," not in text
        words = re.findall(r"[a-z']+", text.lower())
        assert all(a != b for a, b in pairwise(words)), text


def test_sentences_have_the_right_article(sentences: list[str]) -> None:
    for text in sentences:
        for a, word in re.findall(r"\b(an?) (\w+)", text.lower()):
            assert a == article(word), text


@pytest.mark.parametrize(
    ("word", "expected"),
    [("onion", "an"), ("unit", "a"), ("ewe", "a"), ("hour", "an"), ("hen's egg", "a")],
)
def test_article_goes_by_sound(word: str, expected: str) -> None:
    assert article(word) == expected


def test_subjects_and_verbs_agree(sentences: list[str]) -> None:
    many = r"(?:two|three|six|twelve|several|many|numerous|all (?:of )?the) "
    words = lexicon()
    things = {n.plural for t in words.topics for c in t.objects for n in c}
    thing = "|".join(sorted(map(re.escape, things), key=len, reverse=True))
    seen = 0
    for text in sentences:
        found = re.search(
            rf"(?:^|, |that ){many}(?:{thing}) (is|was|wasn't|are|were)\b", text, re.I
        )
        if found:
            seen += 1
            assert found[1] in ("are", "were"), text
    assert seen > 300


def test_tense_agrees_with_the_time() -> None:
    f = frames(4000, 12)
    for slots, text in zip(f, wordings(f, np.random.default_rng(12)), strict=True):
        future = lexicon().times[slots[5]].future
        ahead = re.search(r"\b(will|won't|going to)\b", text) is not None
        assert ahead == future, text


def test_negation_is_said_if_and_only_if_it_is_meant() -> None:
    f = frames(4000, 13)
    for slots, text in zip(f, wordings(f, np.random.default_rng(13)), strict=True):
        denied = re.search(r"\b(not|never|failed to)\b|n't\b", text) is not None
        assert denied == bool(slots[8]), text


def test_every_slot_is_said_in_every_wording() -> None:
    words = lexicon()
    f = frames(3000, 14)
    for slots, text in zip(f, wordings(f, np.random.default_rng(14)), strict=True):
        topic, low = words.topics[slots[0]], text.lower()
        assert any(n.singular in low for n in topic.agents[slots[1]]), text
        verbs = topic.actions[slots[2]]
        assert any(w in low for v in verbs for w in (v.base, v.past, v.participle, v.gerund)), text
        assert any(w in low for n in topic.objects[slots[3]] for w in (n.singular, n.plural)), text
        assert any(p in low for p in topic.places[slots[4]]), text
        assert any(p in low for p in words.times[slots[5]].forms), text
        manner = words.manners[slots[7]]
        assert any(w in low for m in manner for w in (m.adverb, m.adjective)), text


def test_topics_have_equally_many_fillers() -> None:
    for topic in lexicon().topics:
        shape = [len(x) for x in (topic.agents, topic.actions, topic.objects, topic.places)]
        assert shape == list(sizes()[1:5]), topic.name


def test_no_word_stands_for_two_concepts_of_one_slot_in_a_topic() -> None:
    words = lexicon()
    slots = [[t.forms for t in words.times], [n.forms for n in words.numbers], words.manners]
    for topic in words.topics:
        slots += [topic.agents, topic.actions, topic.objects, topic.places]
    for concepts in slots:
        forms = [form for concept in concepts for form in concept]
        assert len(forms) == len(set(forms))


def test_no_two_topics_share_the_words_of_both_an_action_and_an_object() -> None:
    def said(concepts: tuple[tuple[object, ...], ...]) -> set[object]:
        return {form for concept in concepts for form in concept}

    topics = lexicon().topics
    for i, a in enumerate(topics):
        for b in topics[:i]:
            both = said(a.actions) & said(b.actions), said(a.objects) & said(b.objects)
            assert not (both[0] and both[1]), (a.name, b.name, both)


def test_some_words_mean_different_things_in_different_topics() -> None:
    topics = lexicon().topics
    count = Counter(v for t in topics for c in t.actions for v in c)
    assert sum(n > 1 for n in count.values()) >= 10


def test_inflection() -> None:
    assert [plural(w) for w in ("bus", "lorry", "day", "box", "cow")] == [
        "buses",
        "lorries",
        "days",
        "boxes",
        "cows",
    ]
    assert noun("piece/pieces of fish").plural == "pieces of fish"
    assert noun("dough ball").plural == "dough balls"
    chop, fry, tear = verb("chop"), verb("fry"), verb("tear/tore/torn up")
    assert (chop.past, chop.gerund) == ("chopped", "chopping")
    assert (fry.past, fry.gerund) == ("fried", "frying")
    assert (tear.base, tear.past, tear.participle, tear.gerund) == (
        "tear up",
        "tore up",
        "torn up",
        "tearing up",
    )
    commit = verb("commit/committed/committed to memory")
    assert commit.gerund == "committing to memory"
    assert (verb("use").gerund, verb("give food to!").passive) == ("using", False)


# --- parameters


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rows": 1}, "rows must be a whole number >= 2, got 1"),
        ({"rows": 300_000}, r"rows must be in \[2, 200000\], got 300000"),
        ({"false_negative_rate": 0.95}, r"false_negative_rate must be in \[0, 0.9\], got 0.95"),
        ({"near_miss_rate": -0.1}, r"near_miss_rate must be in \[0, 1\], got -0.1"),
        ({"views": "pair"}, r"views is 'pair'\. Did you mean 'pairs'\? Known: pairs, text"),
        ({"duplicate_rate": 1}, r"duplicate_rate must be in \[0, 0.9\], got 1"),
        ({"negatives": 1.5}, "negatives must be a whole number >= 0, got 1.5"),
        ({"negatives": 17}, r"negatives must be in \[0, 16\], got 17"),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
    ],
)
def test_impossible_parameters_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"planted: {message}"):
        datasets.make("planted", **given)


def test_a_frame_without_room_for_more_wordings_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nsbench.benchmarks.data.planted._ROUNDS", 1)
    one = np.repeat(frames(1), 5000, axis=0)
    with pytest.raises(ValueError, match="texts find no wording that is not taken"):
        wordings(one, np.random.default_rng(0))


@pytest.mark.parametrize("rows", [2, 3, 4, 5])
def test_tiny_sets_are_made(rows: int) -> None:
    for rate in (0.0, 0.5, 0.9):
        data = Planted(rows, rate, 1.0, duplicate_rate=0.9, negatives=1)()
        assert isinstance(data, TrainingData)
        assert data.rows == rows


def test_ten_thousand_rows_are_quick() -> None:
    import time

    start = time.process_time()
    Planted()()
    assert time.process_time() - start < 5  # about a third of a second where this was written
