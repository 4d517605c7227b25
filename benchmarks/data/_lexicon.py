"""The words of the planted language and their inflection, read from ``lexicon.toml``.

A concept is a tuple of surface forms that mean the same. Every topic has equally many concepts in
every slot, so that a frame is a row of small numbers.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nsbench.samplers._cache import cached

VOWELS = "aeiou"
# Vowel letters that sound like consonants, and the other way round.
_A_BEFORE = ("uni", "use", "one", "eu", "ewe")
_AN_BEFORE = ("hour", "honest", "honour", "heir")


@dataclass(frozen=True)
class Noun:
    """One surface form of an agent or object."""

    singular: str
    plural: str


@dataclass(frozen=True)
class Verb:
    """One surface form of an action; ``passive`` says whether it has a passive voice."""

    base: str
    past: str
    participle: str
    gerund: str
    passive: bool

    @property
    def simple(self) -> bool:
        """True for a single word, so that "the chopping of onions" can be said."""
        return " " not in self.base


@dataclass(frozen=True)
class Manner:
    """One surface form of a manner, as adverbial and as adjective."""

    adverb: str
    adjective: str


@dataclass(frozen=True)
class Time:
    """A time concept; its tense is the sentence's."""

    future: bool
    forms: tuple[str, ...]


@dataclass(frozen=True)
class Number:
    """A quantity of the object."""

    plural: bool
    forms: tuple[str, ...]

    @property
    def definite(self) -> bool:
        """True if "there were ..." cannot introduce it."""
        return self.forms[0].startswith("all")


@dataclass(frozen=True)
class Topic:
    """A domain with its own actions, objects, agents and places, the shared ones first."""

    name: str
    agents: tuple[tuple[Noun, ...], ...]
    actions: tuple[tuple[Verb, ...], ...]
    objects: tuple[tuple[Noun, ...], ...]
    places: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Lexicon:
    """Everything that can fill a slot; the first ``shared_*`` fillers serve all topics."""

    version: int
    topics: tuple[Topic, ...]
    times: tuple[Time, ...]
    numbers: tuple[Number, ...]
    manners: tuple[tuple[Manner, ...], ...]
    openers: tuple[str, ...]
    shared_agents: int
    shared_places: int


def article(phrase: str) -> str:
    """``a`` or ``an``, as the phrase's first sound asks."""
    word = phrase.lower()
    if word.startswith(_A_BEFORE):
        return "a"
    return "an" if word[0] in VOWELS or word.startswith(_AN_BEFORE) else "a"


def plural(word: str) -> str:
    """Regular English plural of a noun."""
    if re.search(r"(s|x|z|ch|sh)$", word):
        return word + "es"
    if word.endswith("y") and word[-2] not in VOWELS:
        return word[:-1] + "ies"
    return word + "s"


def _doubles(word: str) -> bool:
    """Return whether a one-syllable verb doubles its last letter: stop, stopped, stopping."""
    ends = re.search(r"(?:^|[^aeiou])[aeiou][^aeiouwxy]$", word) is not None
    return ends and len(re.findall(r"[aeiouy]+", word)) == 1


def noun(text: str) -> Noun:
    """Read ``potato/potatoes``, ``piece/pieces of fish`` or a regular noun."""
    found = re.search(r"(\S+)/(\S+)", text)
    if found:
        head, tail = text[: found.start()], text[found.end() :]
        return Noun(head + found[1] + tail, head + found[2] + tail)
    head, _, last = text.rpartition(" ")
    return Noun(text, f"{head} {plural(last)}".strip())


def verb(text: str) -> Verb:
    """Read ``cut/cut/cut back``, ``look after`` or a regular verb; ``!`` forbids the passive."""
    first, _, rest = text.removesuffix("!").partition(" ")
    base, *irregular = first.split("/")
    double = _doubles(base) or bool(irregular and irregular[0].startswith(base + base[-1]))
    if irregular:
        past, participle = irregular
    elif base.endswith("e"):
        past = participle = base + "d"
    elif base.endswith("y") and base[-2] not in VOWELS:
        past = participle = base[:-1] + "ied"
    else:
        past = participle = base + (base[-1] if double else "") + "ed"
    stem = base[:-1] if base.endswith("e") and not base.endswith("ee") else base
    gerund = stem + (base[-1] if double else "") + "ing"
    tail = f" {rest}" if rest else ""
    return Verb(base + tail, past + tail, participle + tail, gerund + tail, not text.endswith("!"))


def _topic(name: str, raw: dict[str, Any], shared: dict[str, Any]) -> Topic:
    return Topic(
        name,
        agents=tuple(tuple(map(noun, c)) for c in shared["agents"] + raw["agents"]),
        actions=tuple(tuple(map(verb, c)) for c in raw["actions"]),
        objects=tuple(tuple(map(noun, c)) for c in raw["objects"]),
        places=tuple(tuple(c) for c in shared["places"] + raw["places"]),
    )


@cached(1)
def lexicon() -> Lexicon:
    """The lexicon that ships with the package; read once."""
    raw = tomllib.loads(Path(__file__).with_name("lexicon.toml").read_text(encoding="utf-8"))
    shared = raw["shared"]
    return Lexicon(
        version=raw["version"],
        topics=tuple(_topic(name, topic, shared) for name, topic in raw["topics"].items()),
        times=tuple(Time(t["tense"] == "future", tuple(t["forms"])) for t in shared["times"]),
        numbers=tuple(Number(n["plural"], tuple(n["forms"])) for n in shared["numbers"]),
        manners=tuple(
            tuple(Manner(*form.split("/")) for form in concept) for concept in shared["manners"]
        ),
        openers=tuple(shared["openers"]),
        shared_agents=len(shared["agents"]),
        shared_places=len(shared["places"]),
    )
