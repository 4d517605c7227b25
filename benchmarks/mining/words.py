"""Words of texts in any script, for BM25 and for shares of common words.

Source: overlapping character bigrams for scripts that are written without spaces, Nie et al. 2000,
On the Use of Words and N-grams for Chinese Information Retrieval, as in Lucene's CJKBigramFilter.
https://doi.org/10.1145/355214.355235 A word is a run of letters, digits and the marks on them
(Unicode categories L, N, Mn and Mc); of plain English it has the words of scikit-learn and bm25s,
of two characters at least.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise

from nsbench.samplers._cache import cached

VERSION = 2
"""Raised by hand when a text gets other words; the first version cut words at vowel signs."""

_PLAIN = re.compile(r"\b\w\w+\b")
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x2E80, 0x2FDF),  # Han radicals
    (0x3005, 0x3007),  # Han signs
    (0x3021, 0x3029),
    (0x3041, 0x30FF),  # Hiragana, Katakana
    (0x3105, 0x312F),  # Bopomofo
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),  # small Katakana
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA000, 0xA48C),  # Yi
    (0xA980, 0xA9FF),  # Javanese, Myanmar
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9F),  # Katakana, half width
    (0x1AFF0, 0x1B16F),  # Kana, supplement
    (0x20000, 0x323AF),  # Han, extensions
)
"""Code points of scripts without spaces between words, first and last of each range."""
_SELECTORS = ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
"""Marks that choose how a character looks, as in emoji; they are in no word."""
_JOINERS = "\u200c\u200d"


def words_of(text: str) -> list[str]:
    """Words of a text in lower case, in their order; of unspaced scripts bigrams of characters.

    A mark belongs to the character before it. A single character is a word in an unspaced script
    only.
    """
    low = text.lower()
    if low.isascii():
        return _PLAIN.findall(low)
    found: list[str] = []
    runs, parts, characters = _patterns()
    for run in runs.findall(unicodedata.normalize("NFC", low)):
        for part in parts.findall(run):
            if _is_unspaced(part[0]):
                found.extend(bigrams(characters.findall(part)))
            elif len(part) > 1:
                found.append(part)
    return found


def bigrams(characters: Sequence[str]) -> list[str]:
    """Neighbouring characters in pairs; a single one alone."""
    if len(characters) == 1:
        return list(characters)
    return [a + b for a, b in pairwise(characters)]


def split_words(text: str) -> list[str]:
    """Parts between white space; where they hold an unspaced script, `words_of` them."""
    found: list[str] = []
    for part in text.split():
        unspaced = not part.isascii() and any(map(_is_unspaced, part))
        found.extend(words_of(part) or [part] if unspaced else [part])
    return found


def are_plain(texts: Iterable[str]) -> bool:
    """Return True if the words of all texts are those of the first version."""
    return all(t.isascii() or words_of(t) == _PLAIN.findall(t.lower()) for t in texts)


def _is_unspaced(character: str) -> bool:
    code = ord(character)
    return code >= _UNSPACED[0][0] and any(low <= code <= high for low, high in _UNSPACED)


@cached(1)
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Patterns of a run of words, of a part of it in one kind of script, and of a character."""
    marks = [
        chr(c)
        for c in range(sys.maxunicode + 1)
        if unicodedata.category(chr(c)) in ("Mn", "Mc")
        and not any(low <= c <= high for low, high in _SELECTORS)
    ]
    mark = f"[{_ranges(marks)}{_JOINERS}]"
    unspaced = "".join(f"{chr(low)}-{chr(high)}" for low, high in _UNSPACED)
    # A run begins with a letter or digit, never with a mark.
    return (
        re.compile(rf"\w(?:\w|{mark})*"),
        re.compile(rf"(?:[{unspaced}]{mark}*)+|(?:[^{unspaced}]{mark}*)+"),
        re.compile(rf".{mark}*", re.DOTALL),
    )


def _ranges(characters: Sequence[str]) -> str:
    """Inside of a character class; the characters ascend."""
    out: list[list[str]] = []
    for character in characters:
        if out and ord(character) == ord(out[-1][1]) + 1:
            out[-1][1] = character
        else:
            out.append([character, character])
    return "".join(low if low == high else f"{low}-{high}" for low, high in out)
