"""Words of any script: plain English as before, marks kept, bigrams where there are no spaces."""

import json
import os
import re
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import mine_command, pairs_of, put
from running import planned_of, python

from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.mining.bm25 import Bm25, stop_words
from nsbench.benchmarks.mining.dataset import MineSettings, mine_set
from nsbench.benchmarks.mining.settings import STOPWORDS
from nsbench.benchmarks.mining.words import are_plain, split_words, words_of

CHINESE = [
    ("今天北京的天气怎么样", "北京今天晴。最高气温三十度"),
    ("上海明天的天气怎么样", "上海明天有小雨。记得带伞"),
    ("如何申请护照", "申请护照需要身份证和照片"),
    ("如何更换护照照片", "更换护照照片要到出入境窗口"),
    ("北京有哪些大学", "北京有清华大学和北京大学"),
    ("怎样去上海的大学", "坐地铁可以到上海交通大学"),
]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cat, a CAT's 2nd mat_x", ["the", "cat", "cat", "2nd", "mat_x"]),
        ("für Straße naïve", ["für", "straße", "naïve"]),
        ("cafe\u0301 y", ["café"]),
        ("दिल्ली का मौसम", ["दिल्ली", "का", "मौसम"]),
        ("كِتَابٌ جديد", ["كِتَابٌ", "جديد"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("北京有雨。我", ["北京", "京有", "有雨", "我"]),
        ("iPhone手机5G", ["iphone", "手机", "5g"]),
        ("タワーへ", ["タワ", "ワー", "ーへ"]),
        ("ก้าว", ["ก้า", "าว"]),  # a tone mark belongs to its consonant
        ("I \u2764\ufe0f 1\ufe0f\u20e3 \u0301", []),
        ("", []),
    ],
)
def test_words_by_hand(text: str, words: list[str]) -> None:
    assert words_of(text) == [unicodedata.normalize("NFC", w) for w in words]


@settings(max_examples=200)
@given(st.text(st.characters(max_codepoint=0x024F)))
def test_latin_texts_have_the_words_they_had(text: str) -> None:
    """Letters up to Latin Extended-B hold no mark; U+0130 gets one in lower case."""
    text = text.replace("\u0130", "")
    assert words_of(text) == re.findall(r"(?u)\b\w\w+\b", text.lower())
    assert are_plain([text])


@settings(max_examples=200)
@given(st.text())
def test_words_lose_no_letter_of_an_unspaced_script_and_split_at_no_mark(text: str) -> None:
    words = words_of(text)
    assert all(w and " " not in w for w in words)
    whole = unicodedata.normalize("NFC", text.lower())
    for word in words:
        assert word in whole
        end = whole.find(word) + len(word)
        assert unicodedata.category(word[0]) not in ("Mn", "Mc") or whole.startswith(word)
        assert end <= len(whole)
    for character in whole:
        if "\u4e00" <= character <= "\u9fff":
            assert any(character in w for w in words)


def test_english_scores_are_those_of_bm25s_own_words() -> None:
    import bm25s

    texts = ["The old cat sat on a mat", "a cat -- naïve, ÜBER 42", "dogs' run_fast 1 x", "the"]
    tokens = bm25s.tokenize(texts, stopwords="en", show_progress=False)
    index = bm25s.BM25(k1=0.9, b=0.4)
    index.index(tokens, show_progress=False)
    expected = [
        index.get_scores_from_ids(ids) if ids else np.zeros(len(texts)) for ids in tokens.ids
    ]
    found = Bm25(texts).scores(np.arange(len(texts)))
    np.testing.assert_allclose(found, np.array(expected), rtol=1e-6)


def of_texts(rows: list[tuple[str, str]]) -> TrainingData:
    places = [(2 * i, 2 * i + 1) for i in range(len(rows))]
    return pairs_of([text for row in rows for text in row], places, "pairs")


def test_every_row_of_chinese_pairs_finds_the_texts_about_its_subject() -> None:
    mined = mine_set(of_texts(CHINESE), MineSettings(source="bm25", shortage="fewer"))
    first = {
        CHINESE[row][0]: {mined.data.texts[i] for i in found if i >= 0}
        for row, found in enumerate(mined.negatives)
    }
    assert all(first.values())
    assert "坐地铁可以到上海交通大学" in first["北京有哪些大学"]
    assert "更换护照照片要到出入境窗口" in first["如何申请护照"]


def test_words_that_differ_by_a_vowel_sign_are_not_alike() -> None:
    scores = Bm25(["कमला कौन", "कमल सुंदर", "कमला नेता"]).scores(np.array([0]))[0]
    assert scores[1] == 0 < scores[2]


def test_stop_words_are_those_of_the_language() -> None:
    german = ["wie wird das Wetter in Berlin", "das Wetter in Wien", "wie wird das Brot"]
    query = np.array([0])
    assert Bm25(german, stopwords="german").scores(query)[0, 2] == 0
    assert Bm25(german, stopwords="none").scores(query)[0, 2] > 0
    assert Bm25(german).scores(query)[0, 2] > 0  # English ones are not German
    for language in STOPWORDS:
        assert bool(stop_words(language)) == (language != "none")
    assert "的" in stop_words("chinese")


@pytest.mark.parametrize("texts", [["!", "?", "..."], ["", " "], ["the", "and a"]])
def test_texts_without_a_word_are_an_error(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=f"none of the {len(texts)} texts has a word"):
        Bm25(texts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stopwords": "klingon"}, "stopwords is 'klingon'"),
        ({"stemmer": "klingon"}, "stemmer is 'klingon'"),
    ],
)
def test_languages_without_words_are_refused(options: dict[str, str], message: str) -> None:
    for make in (
        lambda: MineSettings(source="bm25", shortage="fewer", **options),
        lambda: candidates.make("corpus", source="bm25", shortage="fewer", **options),
        lambda: Bm25(["one text"], **options),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_settings_of_words_without_bm25_are_refused() -> None:
    with pytest.raises(ValueError, match="only the source bm25 reads words"):
        MineSettings(shortage="fewer", stopwords="german")
    with pytest.raises(ValueError, match="only the source bm25 reads words"):
        candidates.make("corpus", shortage="fewer", stopwords="none")


def call(folder: Path, rows: list[tuple[str, str]], *options: str) -> Any:
    pairs = put(folder / "pairs.jsonl", [{"anchor": a, "positive": p} for a, p in rows])
    words = [pairs, "-o", folder / "out", "--source", "bm25", "--shortage", "fewer"]
    return mine_command(*words, *options)


def test_the_command_line_reads_languages(tmp_path: Path) -> None:
    rows = [("wie wird das Wetter", "sonnig und warm"), ("wie backt man", "das Brot im Ofen")]
    refusal = call(tmp_path, rows, "--stopwords", "german").exception
    assert "no row of pairs.jsonl has a negative to write" in str(refusal)
    rows.append(("Brot backen", "mit Mehl"))
    assert call(tmp_path, rows, "--stopwords", "german").exit_code == 0
    assert '"wie wird das Wetter"' not in (tmp_path / "out" / "train.jsonl").read_text()
    settings_ = json.loads((tmp_path / "out" / "mined.json").read_text())["settings"]
    assert settings_["stopwords"] == "german"
    assert call(tmp_path, rows, "--overwrite").exit_code == 0
    assert '"wie wird das Wetter"' in (tmp_path / "out" / "train.jsonl").read_text()
    done = call(tmp_path, [("?", "!"), ("...", ",")], "--overwrite")
    assert done.exit_code != 0
    assert "has a word" in str(done.exception)


def keys(small: Any, tmp_path: Path, name: str, text: str, **more: Any) -> list[Any]:
    path = tmp_path / f"{name}.jsonl"
    rows = [{"anchor": f"{text} {i} ab", "positive": f"{text} {i} cd"} for i in range(20)]
    path.write_text("\n".join(map(json.dumps, rows)))
    pool = {"name": "corpus", "source": "bm25", "shortage": "fewer"} | more
    data = [{"name": "file", "path": str(path)}]
    raw = small(candidates=[pool], data=data, evaluation={"tasks": []})
    return [planned.cell for planned in planned_of(raw)]


def test_only_cells_whose_words_changed_have_another_key(small: Any, tmp_path: Path) -> None:
    (plain,) = keys(small, tmp_path, "english", "the old cat — naïve")
    assert "words" not in plain.inputs
    assert "stopwords" not in plain.candidates.params
    (other,) = keys(small, tmp_path, "chinese", "北京有雨")
    assert other.inputs["words"] == "2"
    (german,) = keys(small, tmp_path, "english", "the old cat — naïve", stopwords="german")
    assert german.candidates.params["stopwords"] == "german"
    assert german.key != plain.key


def test_shares_of_common_words_see_unspaced_texts() -> None:
    assert split_words("The cat's  mat, x") == ["The", "cat's", "mat,", "x"]
    assert split_words("北京有雨 ok") == ["北京", "京有", "有雨", "ok"]


def test_bm25_does_not_start_jax(tmp_path: Path) -> None:
    """bm25s starts it on import where it is installed, and it takes most of a GPU's memory."""
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("")
    (tmp_path / "jax" / "lax.py").write_text("def top_k(*_):\n    print('started')\n")
    code = (
        "from nsbench.benchmarks.mining.bm25 import Bm25\nprint(len(Bm25(['a cat'])))\nimport jax"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = python("-c", code, env=env)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
