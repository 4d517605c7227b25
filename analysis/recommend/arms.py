"""The short list of recipes that race, from what the audit found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

TEMPERATURE = 0.05
TEMPERATURES = (0.02, 0.05, 0.1)
NUMBERS = (1, 4, 16)
"""Numbers of mined negatives."""
MARGINS = (0.0, 0.02, 0.05, 0.1, 0.2)
"""Shares of the positive's similarity by which mined negatives stay below it."""
_WIDE = 100  # places that a margin chooses from
_MANY = 0.01  # least upper end of false negatives among random candidates that calls for a remedy


@dataclass(frozen=True)
class Arm:
    """A recipe.

    Attributes:
        name: Shown in tables.
        sampler: Name of the sampler.
        parameters: Its parameters.
        temperature: Of the softmax.
    """

    name: str
    sampler: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    temperature: float = TEMPERATURE

    @property
    def entry(self) -> dict[str, Any]:
        """The sampler as an entry of a matrix file."""
        return {"name": self.sampler, **self.parameters}

    @property
    def shown(self) -> str:
        """The sampler in one line, ``name[parameter=value]``."""
        inside = ",".join(f"{k}={v}" for k, v in self.parameters.items())
        return f"{self.sampler}[{inside}]" if inside else self.sampler

    def at(self, temperature: float) -> "Arm":
        """The same at another temperature."""
        base = self.name.partition(", temperature")[0]
        name = base if temperature == TEMPERATURE else f"{base}, temperature {temperature:g}"
        return replace(self, name=name, temperature=temperature)

    @property
    def trains(self) -> bool:
        """True if it takes steps."""
        return self.sampler not in ("no_training", "linear_projection")


UNTRAINED = Arm("no training", "no_training")
CLOSED_FORM = Arm("closed form", "linear_projection")
IN_BATCH = Arm("in_batch", "in_batch")
"""The baseline of all others."""


def mined(k: int, margin: float | None = None) -> Arm:
    """Negatives of the model's own ranking before training."""
    given: dict[str, Any] = {"source": "guide", "k": k, "depth": max(20, k)}
    if margin is None:
        return Arm(f"mined, {k}", "corpus_negatives", given)
    given |= {"relative_margin": margin, "stop": _WIDE + max(20, k)}
    return Arm(f"mined, {k}, margin {margin:g}", "corpus_negatives", given)


def short_list(audit: Mapping[str, Any], guide: str = "") -> list[Arm]:
    """Return the arms, the ones that a short race keeps first.

    Args:
        audit: The audit as plain data.
        guide: A second model, whose ranking is mined too; empty without one.
    """
    out = [
        IN_BATCH,
        mined(4),
        Arm("bm25, 4", "bm25", {"k": 4}),
        mined(4, 0.05),
        Arm("random, 16", "random", {"k": 16}),
        Arm("margin mask", "margin_mask"),
        Arm("hard reweighted", "hard_reweighted"),
        mined(1),
    ]
    if audit["facts"]["given_negatives"]:
        out.insert(1, Arm("given negatives alone", "given"))
    if guide:
        more = {"source": "guide", "guide": guide, "k": 4, "depth": 20}
        out.insert(1, Arm("mined by the guide, 4", "corpus_negatives", more))
    shares = audit["false_negatives"]["by_swaps"]
    if shares and shares[0]["high"] > _MANY:
        share = min(0.5, max(0.005, round(shares[0]["share"], 3)))
        out[4:4] = [
            Arm("guided", "guided"),
            Arm(f"debiased, {share:g}", "debiased", {"prior": share}),
        ]
    if audit["near_pairs"]:
        out.append(Arm("text dedup", "text_dedup"))
    return [*out, Arm("bm25, 1", "bm25", {"k": 1}), mined(16), Arm("random, 4", "random", {"k": 4})]


def arm_of(raw: Mapping[str, Any]) -> Arm:
    """Return an arm from plain data."""
    return Arm(**raw)


def with_temperatures(arms: Sequence[Arm]) -> list[Arm]:
    """Every arm at every temperature, those at the usual one first."""
    usual = [arm.at(TEMPERATURE) for arm in arms]
    others = [arm.at(t) for arm in arms for t in TEMPERATURES if t != TEMPERATURE]
    return [*usual, *others]
