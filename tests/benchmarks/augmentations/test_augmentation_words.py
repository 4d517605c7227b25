"""Augmentations that change tokens: word repetition, EDA, templates, span cutoff."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from running import planned_of

from nsbench.benchmarks.augmentations import TokenView, augmentations, bound, share_of
from nsbench.benchmarks.augmentations._synonyms import synonyms
from nsbench.benchmarks.augmentations._words import attach, continuations, rebuilt, whole_words
from nsbench.benchmarks.encoders import Encoder, tokenize
from nsbench.benchmarks.testing.augmentations import TEXTS, seeded, small_encoder, view_of

SEEDS = range(25)
Rows = list[list[int]]


def rows(view: TokenView) -> Rows:
    """The real token ids of every text."""
    return [r[:n].tolist() for r, n in zip(view.ids, view.lengths.tolist(), strict=True)]


def applied(name: str, encoder: Encoder, seed: int, **given: Any) -> Rows:
    augment = bound(augmentations.make(name, **given), encoder)
    return rows(augment(view_of(encoder), seeded(seed)))


def plain(encoder: Encoder) -> Rows:
    return rows(view_of(encoder))


def changes(name: str, encoder: Encoder, rate: float) -> Iterator[tuple[list[int], list[int]]]:
    """Every text before and after an augmentation, with each of the seeds."""
    for seed in SEEDS:
        yield from zip(plain(encoder), applied(name, encoder, seed, rate=rate), strict=True)


def in_order(part: list[int], whole: list[int]) -> bool:
    """Whether ``part`` is ``whole`` with some elements left out."""
    rest = iter(whole)
    return all(x in rest for x in part)


@pytest.fixture(params=["tiny", "static"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return small_encoder(request.param)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 1.0])
def test_span_cutoff_cuts_one_run_of_exact_length(encoder: Encoder, rate: float) -> None:
    starts = set()
    for seed in SEEDS:
        view = augmentations.make("span_cutoff", rate=rate)(view_of(encoder), seeded(seed))
        cut = view.scale[:, :, 0] == 0
        for row, n in zip(cut, view.lengths.tolist(), strict=True):
            places = row.nonzero()[:, 0].tolist()
            assert len(places) == int(n * rate)
            if places:
                assert places == list(range(places[0], places[-1] + 1))
                assert places[-1] < n
        starts.add(tuple(cut.float().argmax(dim=1).tolist()))
    if rate == 0.3:
        assert len(starts) > 10


def test_word_repetition_repeats_in_place_and_never_specials(encoder: Encoder) -> None:
    head, tail = encoder.specials
    grown = Counter()
    for seed in SEEDS:
        view = augmentations.make("word_repetition", rate=0.5)(view_of(encoder), seeded(seed))
        assert view.ids.shape[1] > view_of(encoder).ids.shape[1]
        for before, after in zip(plain(encoder), rows(view), strict=True):
            added = len(after) - len(before)
            grown[added] += 1
            assert 0 <= added <= max(0, min(10, int(0.5 * len(before))) - 1)
            assert after[:head] == before[:head]
            assert after[len(after) - tail :] == before[len(before) - tail :]
            # What was added stands right beside its twin: dropping it gives the text back.
            rest, i = [], 0
            for token in after:
                if i < len(before) and token == before[i]:
                    rest.append(token)
                    i += 1
                else:
                    assert token == before[i - 1]
            assert rest == before
            specials = [*before[:head], *before[len(before) - tail :]]
            assert all(after.count(s) == before.count(s) for s in specials)
    assert len(grown) > 3


def alike(texts: int, length: int) -> TokenView:
    """Texts of the same tokens."""
    tokens = torch.arange(length).expand(texts, length)
    return TokenView(ids=tokens, mask=tokens >= 0, positions=tokens, width=1)


def test_word_repetition_draws_its_number_uniformly() -> None:
    # n = 20, rate 0.32: k uniform in 0 .. 5; 6000 draws, 1000 each, sd 28.9; 5 sigma.
    more = augmentations.make("word_repetition")(alike(6000, 20), seeded(0)).lengths - 20
    counts = more.bincount()
    assert len(counts) == 6
    assert (counts - 1000).abs().max() < 145


def test_word_repetition_stays_within_the_longest_row(encoder: Encoder) -> None:
    view = view_of(encoder)
    tight = view.replace(limit=view.ids.shape[1] + 1)
    for seed in SEEDS:
        longer = augmentations.make("word_repetition")(tight, seeded(seed))
        assert longer.ids.shape[1] <= tight.limit


def test_word_repetition_of_short_texts_is_a_no_op(encoder: Encoder) -> None:
    for seed in SEEDS:
        found = applied("word_repetition", encoder, seed, rate=0.32)
        assert found[-1] == plain(encoder)[-1]  # one word


@pytest.mark.parametrize("name", ["eda_delete", "eda_swap", "eda_insert", "eda_synonym"])
def test_eda_at_rate_0_is_the_identity(encoder: Encoder, name: str) -> None:
    augment = bound(augmentations.make(name, rate=0.0), encoder)
    view = view_of(encoder)
    for seed in range(5):
        assert torch.equal(encoder(augment(view, seeded(seed))), encoder(view))


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_deletion_keeps_order_and_never_empties(encoder: Encoder, rate: float) -> None:
    head, tail = encoder.specials
    for before, after in changes("eda_delete", encoder, rate):
        assert in_order(after, before)
        assert after[:head] == before[:head]
        assert after[len(after) - tail :] == before[len(before) - tail :]
        assert len(after) >= head + tail + 1
        if rate == 1.0 or len(before) == head + tail + 1:
            assert len(after) == head + tail + 1


def test_deletion_rate_is_the_rate() -> None:
    augment = attach(augmentations.make("eda_delete", rate=0.1), goes_on=torch.zeros(50) > 0)
    kept = float(augment(alike(400, 50), seeded(0)).lengths.float().mean())
    assert abs(kept - 45) < 0.55  # sd of the mean: sqrt(50 * 0.09 / 400) = 0.106


def test_swap_exchanges_exact_number_of_pairs() -> None:
    encoder = small_encoder("tiny")
    for rate in (0.1, 0.3, 1.0):
        for before, after in changes("eda_swap", encoder, rate):
            assert Counter(before) == Counter(after)
            assert (before[0], before[-1]) == (after[0], after[-1])
            count = len(before) - 2
            pairs = min(max(1, int(rate * count)), count // 2)
            changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
            assert len(changed) <= 2 * pairs
            if len(set(before)) == len(before):
                assert len(changed) == 2 * pairs
                for i in changed:  # two words change places with each other
                    assert before[after.index(before[i])] == after[i]


PIECES = torch.tensor([False, False, True, False, True, True, False, False])
"""Words 1 2, 3 4 5, 6, 7 of tokens 1 .. 7; 0 stands for special tokens and pads."""


def piece_view() -> TokenView:
    return TokenView(
        ids=torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7, 0, 0]]),
        mask=torch.tensor([[True] * 9 + [False]]),
        positions=torch.arange(10)[None],
        width=1,
        head=1,
        tail=1,
    )


@pytest.mark.parametrize("name", ["eda_delete", "eda_swap"])
def test_pieces_of_a_word_stay_together(name: str) -> None:
    words = [[1, 2], [3, 4, 5], [6], [7]]
    seen = set()
    augment = attach(augmentations.make(name, rate=0.5), goes_on=PIECES)
    for seed in range(60):
        (after,) = rows(augment(piece_view(), seeded(seed)))
        assert after[0] == after[-1] == 0
        rest, order = after[1:-1], []
        while rest:
            (index,) = (i for i, w in enumerate(words) if rest[: len(w)] == w)
            order.append(index)
            rest = rest[len(words[index]) :]
        seen.add(tuple(order))
    assert len(seen) >= 3  # 4 words have 3 ways of swapping 2 pairs


class Vocabulary:
    """As much of a tokenizer as word boundaries need."""

    all_special_tokens = ("<s>", "[CLS]")

    def __init__(self, *tokens: str) -> None:
        self.tokens = tokens

    def __len__(self) -> int:
        return len(self.tokens)

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self.tokens[i] for i in ids]


@pytest.mark.parametrize(
    ("tokens", "later", "whole"),
    [
        (("[CLS]", "boat", "##s", "."), [0, 0, 1, 0], {"boat": 1, ".": 3}),
        (("<s>", "Ġboat", "s", "ĠBoat"), [0, 0, 1, 0], {"boat": 1}),
        (("<s>", "▁boat", "s", "."), [0, 0, 1, 1], {"boat": 1}),
        (("[CLS]", "boat", "boats"), [0, 0, 0], {"boat": 1, "boats": 2}),
    ],
)
def test_words_are_read_from_the_marks_of_each_kind_of_vocabulary(
    tokens: tuple[str, ...], later: list[int], whole: dict[str, int]
) -> None:
    one = [torch.zeros(1)]
    encoder = SimpleNamespace(tokenizer=Vocabulary(*tokens), parameters=lambda: iter(one))
    assert continuations(encoder).long().tolist() == later
    assert whole_words(encoder) == whole


def synonym_ids(encoder: Encoder) -> dict[int, set[int]]:
    vocabulary = encoder.tokenizer.get_vocab()
    return {
        vocabulary[word]: {vocabulary[o] for o in others if o in vocabulary}
        for word, others in synonyms("planted").items()
        if word in vocabulary and any(o in vocabulary for o in others)
    }


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_synonyms_replace_exact_number_of_words(encoder: Encoder, rate: float) -> None:
    table = synonym_ids(encoder)
    assert len(table) >= 6
    head, tail = encoder.specials
    changed_at_all = 0
    for before, after in changes("eda_synonym", encoder, rate):
        pairs = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        assert all(b in table[a] for a, b in pairs)
        possible = sum(t in table for t in before)
        edits = max(1, int(rate * (len(before) - head - tail)))
        assert len(pairs) == min(edits, possible)
        changed_at_all += len(pairs)
    assert changed_at_all


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_insertions_are_synonyms_of_own_words(encoder: Encoder, rate: float) -> None:
    table = synonym_ids(encoder)
    head, tail = encoder.specials
    places = set()
    for before, after in changes("eda_insert", encoder, rate):
        edits = max(1, int(rate * (len(before) - head - tail)))
        possible = any(t in table for t in before)
        assert len(after) - len(before) == (edits if possible else 0)
        assert in_order(before, after)
        extra = Counter(after) - Counter(before)
        allowed = {o for t in before for o in table.get(t, ())}
        assert set(extra) <= allowed
        assert after[:head] == before[:head]
        assert after[-1] == before[-1]  # EDA never inserts at the very end
        places.add(next((i for i, t in enumerate(after) if t in extra), -1))
    assert len(places) > 4


def test_insertion_into_several_pieces_stands_before_a_word() -> None:
    augment = attach(
        augmentations.make("eda_insert", rate=0.3),
        goes_on=PIECES,
        options=torch.full((8, 1), 9),
        counts=torch.tensor([0, 1, 0, 1, 0, 0, 1, 1]),
    )
    seen = set()
    for seed in range(40):
        (after,) = rows(augment(piece_view(), seeded(seed)))
        assert [t for t in after if t != 9] == [0, 1, 2, 3, 4, 5, 6, 7, 0]
        seen.add(after.index(9))
    assert seen == {1, 3, 6, 7}


def test_only_whole_words_have_synonyms() -> None:
    augment = attach(
        augmentations.make("eda_synonym", rate=1.0),
        goes_on=PIECES,
        options=torch.full((8, 1), 9),
        counts=torch.ones(8, dtype=torch.long),
    )
    assert rows(augment(piece_view(), seeded(0))) == [[0, 1, 2, 3, 4, 5, 9, 9, 0]]


def test_planted_synonyms_are_mutual_and_of_one_concept() -> None:
    table = synonyms("planted")
    assert "cautiously" in table["carefully"]
    assert len(table) > 100
    for word, others in table.items():
        assert word not in others
        assert all(word in table[o] for o in others)


def test_synonyms_come_from_a_file_and_from_wordnet(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("big large, huge\n\nsmall little\n")
    assert synonyms(str(path)) == {"big": ("huge", "large"), "small": ("little",)}
    folder = tmp_path / "dict"
    folder.mkdir()
    (folder / "data.adj").write_text(
        "  1 a licence line\n"
        "00001740 00 a 02 big 0 large 0 001 ! 00002098 a 0101 | of great size\n"
        "00002098 00 a 02 in_large_part 0 big 1 000 | mostly\n"
    )
    assert synonyms(str(folder)) == {"big": ("large",), "large": ("big",)}


def test_other_synonyms_make_another_cell(tmp_path: Path, small: Any) -> None:
    path = tmp_path / "words.txt"
    raw = small(augmentations=[{"name": "eda_synonym", "source": str(path)}, "eda_synonym"])
    keys = []
    for text in ("big large", "big huge"):
        path.write_text(text)
        keys.append([p.cell.key for p in planned_of(raw)])
    assert keys[0][0] != keys[1][0]
    assert keys[0][1] == keys[1][1]


@pytest.mark.parametrize("name", ["eda_synonym", "eda_insert"])
def test_missing_synonyms_are_refused_at_once(name: str) -> None:
    with pytest.raises(ValueError, match="source is '/no/such/file'; it must be 'planted'"):
        augmentations.make(name, source="/no/such/file")


def test_prompt_gives_the_tokens_of_the_filled_template(encoder: Encoder) -> None:
    template = "the child {text} yesterday"
    found = applied("prompt", encoder, 0, template=template)
    filled = [template.replace("{text}", t) for t in TEXTS]
    assert found == tokenize(encoder, filled, 128)


def test_prompt_cuts_the_text_and_not_the_template(encoder: Encoder) -> None:
    augment = bound(augmentations.make("prompt", template="the child {text} yesterday"), encoder)
    view = view_of(encoder)
    tight = view.replace(limit=view.ids.shape[1] - 1)
    (head, tail), template = encoder.specials, tokenize(encoder, ["the child yesterday"], 128)[0]
    for before, after in zip(rows(tight), rows(augment(tight, None)), strict=True):
        assert len(after) <= tight.ids.shape[1]
        assert after[: head + 2] == template[: head + 2]
        assert after[len(after) - tail - 1 :] == template[len(template) - tail - 1 :]
        body = after[head + 2 : len(after) - tail - 1]
        assert body == before[head : head + len(body)]


@pytest.mark.parametrize("template", ["", "no hole", "{text} {text}"])
def test_prompt_without_one_hole_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="template must hold"):
        augmentations.make("prompt", template=template)


@pytest.mark.parametrize("name", ["eda_delete", "eda_swap", "eda_synonym", "eda_insert", "prompt"])
def test_word_augmentations_say_that_they_must_be_bound(name: str) -> None:
    with pytest.raises(ValueError, match=r"bind\(encoder\)"):
        augmentations.make(name)(view_of(small_encoder("tiny")), seeded(0))


def test_scales_of_single_tokens_move_with_them() -> None:
    view = piece_view()
    scale = torch.arange(10.0)[None, :, None]
    source = torch.tensor([[0, 2, 2, 8]])
    moved = rebuilt(view.replace(scale=scale), source, torch.tensor([3]))
    assert moved.ids.tolist() == [[0, 2, 2, 0]]
    assert moved.scale.flatten().tolist() == [0, 2, 2, 8]
    assert moved.mask.tolist() == [[True, True, True, False]]
    assert int(share_of(torch.tensor([10]), 0.29)) == 2
