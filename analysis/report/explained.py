"""Words for the measured quantities: a dozen named and explained, the rest by their own names."""

from typing import NamedTuple

from nsbench.analysis.figures.difficulty import axis_label

STARTED = ("in_batch", "random", "hard", "semi_hard", "hard_reweighted")
"""Samplers that the explorer opens with, if they are there."""


class Explained(NamedTuple):
    """A quantity in words.

    Attributes:
        title: A short name.
        unit: Its unit and range.
        text: What a high or a low value says.
    """

    title: str
    unit: str
    text: str


NAMED = {
    "chosen_similarity": Explained(
        "Hardness of the chosen negatives",
        "cosine with the anchor",
        "How close the chosen negatives are to their anchor. Higher is harder.",
    ),
    "margin": Explained(
        "Margin to the positive",
        "cosine, positive less chosen",
        "How much closer the positive is than the chosen negatives. At 0 or below, the model "
        "cannot tell them from the positive.",
    ),
    "chosen_percentile": Explained(
        "Place in the ranking",
        "0 is the hardest candidate, 1 the easiest",
        "Where the chosen negatives stand among all candidates of their anchor. 0.5 is what a "
        "random choice gives.",
    ),
    "violation": Explained(
        "Negatives closer than the positive",
        "share of the chosen",
        "Chosen negatives that the model holds for closer than the positive: hard ones, or false "
        "ones.",
    ),
    "false_negative": Explained(
        "False negatives",
        "share of the chosen",
        "Chosen negatives that are known to mean the same as the anchor. It is known for labelled "
        "and planted data only.",
    ),
    "false_negative_weight": Explained(
        "Gradient on false negatives",
        "share of the gradient",
        "Share of the negatives' gradient that false negatives carry: the harm they can do.",
    ),
    "effective_negatives": Explained(
        "Effective negatives",
        "count per anchor",
        "Number of negatives that share the gradient, as if they shared it evenly. 1 means that a "
        "single negative decides.",
    ),
    "gradient_share_1": Explained(
        "Gradient on the hardest 1 %",
        "share of the gradient",
        "How much of the gradient the hardest hundredth of the chosen carries.",
    ),
    "chosen_count": Explained(
        "Negatives chosen",
        "count per anchor",
        "How many negatives an anchor is contrasted with.",
    ),
    "loss": Explained(
        "Loss",
        "nats",
        "The objective's loss. Losses of different objectives are not on one scale.",
    ),
    "positive_similarity": Explained(
        "Similarity of the positive",
        "cosine with the anchor",
        "How close the two views of a pair are. Near 1 from the start means that the "
        "augmentation changes nothing.",
    ),
    "probe_uniformity": Explained(
        "Uniformity of the space",
        "-8 (uniform) to 0 (collapsed)",
        "How evenly fixed texts are spread over the sphere (Wang and Isola 2020). Near 0 the "
        "space has collapsed.",
    ),
}
"""In the order in which the explorer offers them."""


def explained(quantity: str) -> Explained:
    """Return a quantity in words; one that has no own text is named as figures name it."""
    return NAMED.get(quantity) or Explained(axis_label(quantity), "", "")
