"""Groups of the components, with the advice of each: what the generated pages sort by.

A component that no group names is listed under `FURTHER`, so a new method needs no line here.
"""

from dataclasses import dataclass

FURTHER = "Further"


@dataclass(frozen=True)
class Group:
    """Components for one purpose.

    Attributes:
        title: Its heading.
        use: When to use its members, a clause that follows "Use when".
        names: Its members by registered name.
    """

    title: str
    use: str
    names: tuple[str, ...] = ()


GROUPS: dict[str, tuple[Group, ...]] = {
    "samplers": (
        Group(
            "Controls",
            "you need a reference: what all candidates, random ones, the easiest ones, perfect "
            "knowledge of the truth, no training, a linear map or BM25 without an encoder give.",
            (
                *("in_batch", "random", "easiest", "oracle", "random_removal"),
                *("no_training", "linear_projection", "bm25_ranking"),
            ),
        ),
        Group(
            "Hard",
            "most candidates are too easy to teach the model anything, and few of the hard ones "
            "mean the same as their anchor.",
            (
                *("hard", "band", "drop_band", "semi_hard", "ambiguous", "distance_weighted"),
                *("positive_aware", "median_triplet", "curriculum", "balanced"),
            ),
        ),
        Group(
            "False-negative aware",
            "texts that mean the same as the anchor are among the candidates: duplicates, "
            "paraphrases, few classes, or mined candidates.",
            (
                *("fn_cancel", "incremental", "guided", "complementary", "text_dedup", "judged"),
                *("margin_mask", "threshold_mask", "pair_consistency", "cluster_negatives"),
            ),
        ),
        Group(
            "Reweighting",
            "every candidate should count, but not alike: by hardness, by rank, by frequency, or "
            "corrected for the false ones that are expected.",
            ("debiased", "hard_debiased", "hard_reweighted", "hardness", "rank_weighted", "log_q"),
        ),
        Group(
            "Mined",
            "the batch holds few good negatives and a corpus holds better ones; mining costs "
            "encoder passes and brings false negatives.",
            (
                *("mined", "bm25", "corpus_negatives", "given", "mixed_own"),
                *("uniform", "whole_corpus"),
            ),
        ),
        Group(
            "Batches",
            "negatives should stay those of the batch, and the batch should hold related texts.",
            ("topic", "communities", "random_walk", "bandwidth", "given_batches", "packed"),
        ),
        Group(
            "Synthetic",
            "real candidates run out: negatives are made from embeddings.",
            ("mixed", "noise"),
        ),
    ),
    "augmentations": (
        Group(
            "Controls",
            "you need a reference without a change to the text.",
            ("none", "dropout"),
        ),
        Group(
            "Of words",
            "the two views should differ in their words; a changed word can change the meaning.",
            (
                *("eda_delete", "eda_insert", "eda_swap", "eda_synonym", "word_repetition"),
                "prompt",
            ),
        ),
        Group(
            "Of token embeddings",
            "texts should stay as they are and the views should differ inside the encoder.",
            (
                *("feature_cutoff", "token_cutoff", "span_cutoff", "token_shuffle"),
                *("embedding_dropout", "adversarial"),
            ),
        ),
    ),
    "objectives": (
        Group(
            "Softmax",
            "you have pairs and want the usual loss, or one of its close relatives.",
            (
                *("info_nce", "nt_xent", "decoupled", "temperature_free", "focal_info_nce"),
                *("focal", "model_aware", "split", "sup_simcse", "global_contrast"),
            ),
        ),
        Group(
            "Corrected for false negatives",
            "negatives hold texts that mean the same as the anchor, or pairs that do not match.",
            ("debiased", "hard_debiased", "debiased_rows", "rince"),
        ),
        Group(
            "Hinge and single pairs",
            "few negatives per anchor matter and a margin is known, or batches are small.",
            ("triplet", "truncated_triplet", "band_margin", "sigmoid"),
        ),
        Group(
            "From scores",
            "a teacher's scores or graded pairs are at hand.",
            ("listwise_kd", "margin_mse", "cosent", "angle"),
        ),
        Group(
            "Around another objective",
            "another objective should get a further term, several sizes, or learned parameters.",
            ("spread_out", "matryoshka", "learned"),
        ),
    ),
    "candidates": (
        Group("Of the batch", "batches are large enough.", ("in_batch",)),
        Group(
            "Of earlier batches",
            "more candidates are wanted without more encoder passes; stored ones are stale.",
            ("queue", "memory"),
        ),
        Group(
            "Of the corpus",
            "hard candidates are searched in all training texts or in a further corpus.",
            ("corpus", "frozen_corpus", "replaced"),
        ),
    ),
    "encoders": (
        Group("Fast", "many cells should run on a CPU, or a first answer is enough.", ("static",)),
        Group(
            "For tests",
            "code is tested; scores say nothing about real encoders.",
            ("tiny",),
        ),
        Group(
            "Pretrained",
            "the answer should hold for the transformer that you will train.",
            ("transformer",),
        ),
    ),
}


def group_of(kind: str, name: str) -> Group:
    """Return the group of a component; `FURTHER` without advice for one that none names."""
    return next((g for g in GROUPS[kind] if name in g.names), Group(FURTHER, ""))
