"""Put planted frames into words: templates, tense, voice, negation and agreement.

Every template says all eight slots, so any wording of a frame can be read back to that frame and
to no other. What varies between wordings (template, synonyms, articles, auxiliaries, an opening
phrase) means nothing.
"""

from collections.abc import Sequence
from typing import TypeVar

from nsbench.benchmarks.data._lexicon import Lexicon, Topic, Verb, article

T = TypeVar("T")

# A agent, O object with its number, P place, T time, M manner (m before the verb); X F auxiliary
# and verb in the active voice, Y E the same in the passive, G gerund, J manner as adjective,
# N "took place", B "was" for one thing, D "was" for the object.
ACTIVE = (
    "{A} {X} {F} {O} {M} {P} {T}",
    "{T}, {A} {X} {F} {O} {M} {P}",
    "{P}, {A} {X} {F} {O} {M} {T}",
    "{A} {X} {m} {F} {O} {P} {T}",
    "{T}, {A} {X} {m} {F} {O} {P}",
    "{P} {T}, {A} {X} {F} {O} {M}",
    "{A}, {P} {T}, {X} {m} {F} {O}",
    "it {B} {A} who {X} {F} {O} {M} {P} {T}",
    "it {B} {O} that {A} {X} {F} {M} {P} {T}",
    "it {B} {P} that {A} {X} {F} {O} {M} {T}",
    "it {B} {T} that {A} {X} {m} {F} {O} {P}",
    "{A} {B} the one who {X} {m} {F} {O} {P} {T}",
)
EXISTENTIAL = ("there {D} {O} that {A} {X} {m} {F} {P} {T}",)
PASSIVE = (
    "{O} {Y} {E} {M} by {A} {P} {T}",
    "{O} {Y} {m} {E} {P} by {A} {T}",
    "{T}, {O} {Y} {E} by {A} {M} {P}",
    "{P}, {O} {Y} {m} {E} by {A} {T}",
    "it {B} by {A} that {O} {Y} {E} {M} {P} {T}",
    "it {B} {O} that {Y} {E} {M} by {A} {P} {T}",
)
NOMINAL = (
    "the {J} {G} of {O} by {A} {N} {P} {T}",
    "{T}, the {J} {G} of {O} by {A} {N} {P}",
)

# (future, negative) -> auxiliaries; "" takes the past form of the verb, the others its base.
_ACTIVE_AUX = {
    (False, False): ("",),
    (False, True): ("did not", "didn't", "failed to"),
    (True, False): ("will", "is going to"),
    (True, True): ("will not", "won't", "is not going to"),
}
# (future, negative, plural) -> auxiliaries before the participle.
_PASSIVE_AUX = {
    (False, False, False): ("was",),
    (False, False, True): ("were",),
    (False, True, False): ("was not", "wasn't"),
    (False, True, True): ("were not", "weren't"),
    (True, False, False): ("will be", "is going to be"),
    (True, False, True): ("will be", "are going to be"),
    (True, True, False): ("will not be", "won't be", "is not going to be"),
    (True, True, True): ("will not be", "won't be", "are not going to be"),
}
_HAPPEN = {
    (False, False): ("took place", "happened"),
    (False, True): ("did not take place", "never happened"),
    (True, False): ("will take place", "is going to happen"),
    (True, True): ("will not take place", "is not going to happen"),
}
DRAWS = 14  # random numbers that one wording uses


def templates(verb: Verb, definite: bool) -> tuple[str, ...]:
    """The templates in which this verb form and this object can be said."""
    out: tuple[str, ...] = ACTIVE if definite else ACTIVE + EXISTENTIAL
    if verb.passive:
        out += PASSIVE
        if verb.simple:
            out += NOMINAL
    return out


def render(frame: Sequence[int], draw: Sequence[int], words: Lexicon) -> str:
    """One wording of a frame, see `Frame`; `DRAWS` non-negative numbers decide the wording."""
    topic, agent, action, thing, place, time, number, manner, negative = frame
    domain: Topic = words.topics[topic]
    verb = _pick(domain.actions[action], draw[0])
    noun = _pick(domain.objects[thing], draw[1])
    quantity = words.numbers[number]
    when = words.times[time]
    how = _pick(words.manners[manner], draw[2])
    future, no = when.future, bool(negative)
    auxiliary = _pick(_ACTIVE_AUX[future, no], draw[3])
    count = _pick(quantity.forms, draw[4])
    things = noun.plural if quantity.plural else noun.singular
    who = _pick(domain.agents[agent], draw[5]).singular
    parts = {
        "A": f"{'the' if draw[6] % 2 else article(who)} {who}",
        "O": f"{article(things) if count == 'a' else count} {things}",
        "P": _pick(domain.places[place], draw[7]),
        "T": _pick(when.forms, draw[8]),
        "M": how.adverb,
        "m": f", {how.adverb}," if " " in how.adverb else how.adverb,
        "J": how.adjective,
        "X": auxiliary,
        "F": verb.base if auxiliary else verb.past,
        "Y": _pick(_PASSIVE_AUX[future, no, quantity.plural], draw[9]),
        "E": verb.participle,
        "G": verb.gerund,
        "N": _pick(_HAPPEN[future, no], draw[10]),
        "B": "is" if future else "was",
        "D": _be(future, quantity.plural),
    }
    said = _pick(templates(verb, quantity.definite), draw[11]).format_map(parts)
    if draw[12] % 2:
        opener = _pick(words.openers, draw[13])
        said = f"{opener} {said}" if opener.endswith("that") else f"{opener}, {said}"
    said = " ".join(said.split()).replace(" ,", ",").replace(",,", ",")
    return f"{said[0].upper()}{said[1:]}."


def _be(future: bool, plural: bool) -> str:
    if future:
        return "are" if plural else "is"
    return "were" if plural else "was"


def _pick(options: Sequence[T], draw: int) -> T:
    return options[draw % len(options)]
