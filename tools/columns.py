"""Meaning of the columns of the tables that nsbench writes, for the reference."""

_LEADERBOARD = {
    "rank": "Place by the mean, or by the difference where seeds are missing; equals share one.",
    "rank_lo": "Best rank that the method could have, by the simultaneous intervals.",
    "rank_hi": "Worst such rank.",
    "group": "Letters; two methods share one exactly if they are not significantly different.",
    "sampler": "The sampler: its label, or its name with the settings that differ between rows.",
    "augmentation": "The augmentation, or how many a mean is over.",
    "objective": "The objective.",
    "candidates": "The candidate pool; where it varies.",
    "regime": "Labels and phases of the training; where it varies.",
    "steps": "Optimizer steps; where they vary.",
    "batch_size": "Rows of a step; where it varies.",
    "budget": "Further settings of the budget that vary.",
    "encoder": "The encoder.",
    "data": "The training data.",
    "n_seeds": "Seeds with a score on every task.",
    "n_tasks": "Tasks of the mean.",
    "mean": "Mean over tasks and seeds, in points.",
    "std": "Standard deviation over seeds, in points.",
    "ci_low": "Lower end of Student's 95 % interval of the mean over seeds.",
    "ci_high": "Its upper end.",
    "iqm": "Interquartile mean over seeds and tasks.",
    "difference": "Difference to the baseline in points, paired by seed.",
    "difference_low": "Lower end of its simultaneous 95 % interval.",
    "difference_high": "Its upper end.",
    "p_adjusted": "p of the difference, adjusted for all comparisons of the group.",
    "verdict": "better, worse, equivalent, undecided, baseline or no verdict.",
    "more_seeds": "Further seeds that would decide an undecided verdict.",
    "alarms": "Alarms with the number of cells that rang them.",
    "mean_ranked": "Mean on the seeds of the baseline: what the rank is by.",
    "n_failed": "Cells that failed or lack a finite score.",
    "n_missing": "Cells that have not run.",
    "n_skipped": "Cells that make no sense and were skipped.",
    "borda": "Methods beaten, summed over tasks.",
    "rank_borda": "Place by that.",
    "improvement": "Chance that one seed and task of the method beats the baseline's.",
    "tasks_low": "Lower end of a bootstrap interval over seeds and tasks.",
    "tasks_high": "Its upper end.",
    "encodes_train": "Texts encoded for training, per cell.",
    "encodes_mining": "Texts encoded for mining, per cell.",
    "encodes": "Texts encoded for both, per cell.",
    "tokens_seen": "Tokens encoded in training, per cell.",
    "negatives_per_anchor": "Negatives of an anchor, mean over steps.",
    "seconds_train": "Seconds of training, per cell.",
    "seconds_evaluate": "Seconds of evaluation, per cell.",
    "wall_s": "Seconds of the whole cell.",
    "leak_exact": "Largest share, over tasks, of test texts that occur in the training text.",
    "leak_pairs": "The same for whole test pairs.",
    "leak_ngram": "The same for long test texts that share a run of eight words with it.",
    "transductive": "Whether the data contain test texts on purpose.",
    "pool": "The comparison group: what compared methods share.",
}
_AXIS = {
    "axis": "augmentation, objective, candidates, encoder or data.",
    "value": "The value of the axis.",
    "baseline": "The value that differences are to.",
    "n_blocks": "Settings, such as samplers, that have every value.",
    "n_samplers": "Samplers among them.",
    "interaction_p": "p that the effect is the same with all samplers; small if it differs.",
    "effect_low_sampler": "Sampler with the smallest effect.",
    "effect_low": "That effect in points.",
    "effect_high_sampler": "Sampler with the largest effect.",
    "effect_high": "That effect in points.",
    "best_sampler": "Sampler with the highest mean under this value.",
    "encodes": "Texts encoded for training and mining, mean over the settings' cells.",
    "seconds_train": "Seconds of training, likewise; they depend on the machine.",
}
_AXIS_SHARED = (
    *("rank", "rank_lo", "rank_hi", "group", "n_seeds", "n_tasks", "mean", "difference"),
    *("difference_low", "difference_high", "p_adjusted", "verdict", "more_seeds", "alarms", "pool"),
)
_SCORES = {
    "task": "The task, or `geometry` for properties of the embeddings.",
    "split": "Split of the task.",
    "subset": "Subset, or `default`.",
    "metric": "cosine_spearman, accuracy, ndcg_at_10 and others.",
    "value": "The score as stored; correlations are in [-1, 1].",
    "n_examples": "Pairs, texts or queries behind it.",
    "main": "True for the metric that leaderboards read.",
}
_STEP = {
    "step": "Optimizer step, 0 for the first.",
    "quantity": "What was measured; the report explains the main ones.",
}
_CHOICES = {
    "step": _STEP["step"],
    "place": "Row of the anchor in the batch.",
    "anchor": "Number of the anchor's text.",
    "candidates": "Candidates that could be chosen.",
    "candidate": "Number of a chosen text.",
    "weight": "Its share in the gradient on the anchor's negatives.",
    "positive": "Number of the positive's text.",
    "positive_similarity": "Its cosine with the anchor.",
    "similarity": "Cosine of the chosen text with the anchor.",
    "rank": "Rank of the chosen text among the candidates, 0 is the hardest.",
    "same_meaning": "Whether it is known to mean the same as the anchor.",
    "above_in_guide": "Whether a guide ranks it above the positive.",
}
_LABELS = ("sampler", "augmentation", "objective", "candidates", "encoder", "data")
_OF_KIND = {
    "mean": "Mean over the family's tasks and fresh seeds, in points",
    "low": "Lower end of Student's 95 % interval of that mean",
    "high": "Its upper end",
    **{
        n: _LEADERBOARD[n].rstrip(".")
        for n in (
            *("std", "rank", "difference", "difference_low", "difference_high", "verdict"),
            *("more_seeds", "n_seeds", "n_failed", "n_missing", "n_skipped", "alarms"),
        )
    },
}
_TUNED = {
    "family": "Family of tasks.",
    "n_tasks": "Tasks of the family.",
    **{n: _LEADERBOARD[n] for n in _LABELS},
    "baseline": "Method that differences are to.",
    **{
        f"{kind}_{name}": f"{text}; with {words}."
        for kind, words in (("default", "default settings"), ("tuned", "tuned settings"))
        for name, text in _OF_KIND.items()
    },
    "gain": "Tuned less default in points, paired by seed.",
    "gain_low": "Lower end of its 95 % interval.",
    "gain_high": "Its upper end.",
    "gain_seeds": "Seeds of both.",
    "trials": "Trials of the method.",
    "different_settings": "Different settings among them.",
    "failed_trials": "Trials without a score on development data: a cell failed or got none.",
    "tuning_seconds": "Seconds of all its trials.",
    "dev_default": "Score of the defaults on development data, in points.",
    "dev_tuned": "The same of the tuned settings.",
    "setting": "The tuned settings.",
    "skip": "Why the method was skipped.",
    "tuned_scores": "Tuned scores in points by fresh seed, blanks between; empty without any.",
}
_OF_BOARDS = {
    *("family", "n_tasks", "baseline", "gain", "trials", "tuning_seconds", "setting", "skip"),
    *_LABELS,
    *(
        f"{kind}_{name}"
        for kind in ("default", "tuned")
        for name in (
            *("mean", "difference", "difference_low", "difference_high"),
            *("verdict", "n_seeds", "n_missing"),
        )
    ),
}

COLUMNS: dict[str, dict[str, str]] = {
    "leaderboard.csv and leaderboard_samplers.csv": _LEADERBOARD
    | {"(one per task)": "Mean over seeds in points; `task:NAME` where the name is one of ours."},
    "leaderboard_AXIS.csv": _AXIS | {name: _LEADERBOARD[name] for name in _AXIS_SHARED},
    "scores.csv of a cell": _SCORES,
    "scores.csv of a results folder": {
        "(columns of a cell's scores.csv)": "As there.",
        "matrix": "Name of the matrix.",
        "key": "Key of the cell.",
        "seed": "Its seed.",
        "status": "done, failed, skipped, pending or running.",
        "info": "Why it failed or was skipped.",
        "(axes)": "Label of each axis, and its name without parameters in `AXIS_name`.",
        "p_AXIS_PARAMETER": "A parameter of a component, or of the budget (`p_train_...`).",
        "(costs, seconds, leaks)": "As in leaderboard.csv.",
    },
    "leakage.csv": {
        "data": "The training data.",
        "regime": "Labels and phases.",
        "task": "The task.",
        "texts": "Its different test texts.",
        "leak_exact": "Share of them that occur in the training text.",
        "leak_pairs": "Share of test pairs that do.",
        "leak_ngram": "Share of long texts that share a run of eight words with it.",
        "transductive": "Whether that is intended.",
        "long_texts": "Test texts of at least eight words.",
        "cells": "Cells that say so.",
    },
    "tables/alarms.csv": {
        "name": "The alarm.",
        "sampler": "Where it rang.",
        "cells": "Cells that rang it.",
        "of": "Finished cells of the sampler.",
        "text": "The first one's words.",
    },
    "tables/sources.csv": {
        "(axes)": "As in leaderboard.csv.",
        "source": "One of the data sets of a mixture.",
        "n_seeds": "Seeds.",
        "(quantities)": "Mean of each difficulty quantity over the second half of the steps.",
    },
    "tables/by_query.csv": {
        "task": "The retrieval test.",
        "split": "Its split.",
        "subset": "Its subset.",
        "metric": "Its main metric, or ndcg_at_10 where that is not kept by query.",
        "(axes)": "As in leaderboard.csv.",
        "n_queries": "Queries compared.",
        "n_seeds": "Seeds that the method shares with the baseline.",
        "mean": "Mean over queries and seeds, in points.",
        "difference": "Difference to the baseline in points, paired by query.",
        "difference_low": "Lower end of its simultaneous 95 % interval, over queries and seeds.",
        "difference_high": "Its upper end.",
        "p": "p of the difference, adjusted for all methods of the group.",
        "higher": "Share of the queries at which the method is above the baseline.",
        "lower": "Share at which it is below.",
        "verdict": "As in leaderboard.csv.",
        "pool": "The comparison group.",
    },
    "difficulty.parquet of a cell": _STEP
    | {
        "mean": "Mean over what was measured at this step.",
        "std": "Standard deviation.",
        **{
            f"q{q:02d}": f"Quantile of {q} percent; missing for single numbers."
            for q in (1, 5, 25, 50, 75, 95, 99)
        },
        "count": "Values behind them.",
    },
    "histograms.parquet of a cell": _STEP
    | {
        "bin_low": "Lower end of the bin.",
        "count": "Values in it up to this step, cumulative; weighted ones count their weight.",
    },
    "probe.parquet of a cell": {
        "anchor": "A text of the probe.",
        "place": "Rank of the candidate, 0 is the hardest.",
        "candidate": "A text of the probe.",
    },
    "choices.parquet of a cell": _CHOICES,
    "texts.parquet of a cell": {
        "text": "Number of the text in choices.parquet.",
        "content": "The text.",
    },
    "negatives.parquet of packed results": _CHOICES
    | {
        "folder": "Folder of the cell.",
        "chosen": "Negatives that the sampler chose for the anchor; the heaviest are kept.",
        "anchor_text": "The anchor; empty where texts are not kept, as the next two.",
        "positive_text": "The positive.",
        "candidate_text": "The chosen text.",
    },
    "queries.parquet of a cell": {name: _SCORES[name] for name in ("task", "split", "subset")}
    | {
        "query": "Id of the query.",
        "metric": "ndcg_at_10 and others.",
        "value": "The query's score, in [0, 1].",
    },
    "training.csv of a cell": {
        "step": _STEP["step"],
        "loss": "Loss of the step's batch; phases of a regime follow each other.",
        "gradient_norm": "Norm of the gradient before it is clipped.",
        "learning_rate": "Learning rate of the step.",
    },
    "tables/predictors.csv": {
        "quantity": _STEP["quantity"],
        "rho": "Spearman's correlation of its mean in the last quarter with the score, over cells.",
        "low": "Lower end of the correlation's 95 % interval (Fisher).",
        "high": "Its upper end.",
        "n_cells": "Cells behind it.",
        "n_methods": "Methods among them.",
        "n_samplers": "Samplers among them.",
        "rho_within": "The same correlation within samplers, averaged.",
        "within_low": "Lower end of its interval.",
        "within_high": "Its upper end.",
        "n_within": "Cells behind it.",
        "pool": _LEADERBOARD["pool"],
    },
    "tables/agreement.csv": {
        **{name: _LEADERBOARD[name] for name in ("data", "encoder", "sampler")},
        "kind": "What the sampler is compared with: seeds, baseline or encoders.",
        "other": "The other encoder; empty for the others.",
        "rho": "Rank correlation of the two rankings of a fixed set of texts, mean over pairs.",
        "rho_low": "Lowest pair.",
        "rho_high": "Highest pair.",
        "overlap": "Share of the hardest texts that both have, mean over pairs.",
        "overlap_low": "Lowest pair.",
        "overlap_high": "Highest pair.",
        "chance": "The share that random rankings would have.",
        "n_pairs": "Pairs of cells.",
        "n_seeds": "Seeds among them.",
    },
    "tables/bands.csv": {
        "arm": "keep (band), drop (drop_band) or the reference.",
        "low": "Hardest end of the band, as a share of the ranking; 0 is the hardest.",
        "high": "Easiest end.",
        "k": "Negatives drawn, of `random`.",
        **{
            name: _LEADERBOARD[name]
            for name in (
                *("sampler", "mean", "ci_low", "ci_high", "difference", "difference_low"),
                *("difference_high", "n_seeds", "n_tasks", "pool"),
            )
        },
        "candidates": "Negatives that an anchor of `in_batch` has.",
        "setting": "Augmentation, objective and pool, where they vary.",
    },
    "tables/false_negatives.csv": {
        **{n: _LEADERBOARD[n] for n in ("data", "encoder", "sampler", "augmentation", "objective")},
        "removed_share": "Share of the eligible candidates that the sampler removed as false.",
        "removed_precision": "Share of the removed that were false negatives.",
        "removed_recall": "Share of the false negatives that were removed.",
        "attracted_precision": "Share of the attracted that were false negatives.",
        "attracted_recall": "Share of the false negatives that were attracted.",
        "false_negative_candidates": "Share of false negatives among all candidates.",
        "false_negative": "The same among the chosen.",
        **{
            n: _LEADERBOARD[n]
            for n in (
                *("mean", "ci_low", "ci_high", "difference", "difference_low"),
                *("difference_high", "n_seeds"),
            )
        },
    },
    "tables/false_negative_rates.csv": {
        **{n: _LEADERBOARD[n] for n in ("data", "encoder", "sampler", "augmentation")},
        "dialled": "Rate that the data were made with: what a uniform choice meets.",
        "measured": "Rate among the chosen, mean over seeds.",
        "low": "Lower end of its 95 % t interval over seeds.",
        "high": "Its upper end.",
        "n_seeds": "Seeds behind it.",
        "verdict": "as dialled, above or below; one seed where there is no interval.",
    },
    "tables/tuned.csv": _TUNED,
    "tables/early.csv": {
        "setting": "default or tuned.",
        **{n: _LEADERBOARD[n] for n in (*_LABELS,)},
        "score": "Mean over the leading family's tasks, in points.",
        "(one per quantity)": "Its mean over the first tenth of training and over seeds.",
    },
    "boards.csv of `nsbench boards`": {"board": "Folder of the board."}
    | {n: t for n, t in _TUNED.items() if n in _OF_BOARDS},
    "difficulty.csv of `nsbench boards`": {
        "setting": "default or tuned.",
        "held_out": "Board that the statistic was not chosen on.",
        "n_groups": "Groups (encoder, data, augmentation) of the board held out.",
        "n_methods": "Methods of the board held out; one that is in several groups counts once.",
        "statistic": "The statistic that predicts best elsewhere.",
        "sign": "1 if more of it goes with a higher score elsewhere, -1 otherwise.",
        "rho_elsewhere": "Its correlation with the score elsewhere.",
        "rho": "The same on the board held out, mean over its groups by Fisher's z, each weighing "
        "by its methods less 3.",
        "rho_low": "Lower end of its 95 % interval.",
        "rho_high": "Its upper end.",
        "best_in_hindsight": "The statistic that correlates most there.",
        "rho_in_hindsight": "Its correlation.",
    },
    "transfer.csv of `nsbench boards`": {
        "board": "A board; where it has several encoders or data sets, one of them.",
        "other": "Another one.",
        "n_methods": "Methods that both have, at least six; what takes no step is left out.",
        "rho": "Spearman's correlation of `tuned_difference` on the two, over these methods; the "
        "baseline has 0. First family of tasks of each.",
        "rho_low": "Lower end of its 95 % interval, Fisher's z over methods.",
        "rho_high": "Its upper end.",
        "sampler": "Sampler of the one of these methods that is best on `board`.",
        "objective": "Its objective.",
        "difference": "Its points against the baseline on `board`.",
        "other_difference": "Its points against the baseline on `other`.",
        "other_low": "Lower end of the simultaneous 95 % interval there.",
        "other_high": "Its upper end.",
        "other_verdict": "Its verdict there.",
        "lost": "Points that the best of these methods on `other` is ahead of it there.",
    },
    "views.csv of `nsbench boards`": {
        "board": "A board; where it has several encoders or data sets, one of them.",
        "family": "Family of tasks.",
        "augmentation": "An augmentation of the board.",
        "other": "Another one.",
        "n_methods": "Methods that ran with both, at least six; what takes no step is left out.",
        "n_opposite": "Methods that are better with one of them and worse with the other.",
        "rho": "Spearman's correlation of `tuned_difference` with the two, over these methods, "
        "each against the baseline under the same augmentation; the baseline has 0.",
        "rho_low": "Lower end of its 95 % interval, Fisher's z over methods.",
        "rho_high": "Its upper end.",
        "sampler": "Sampler of the one of these methods that is best with `augmentation`.",
        "objective": "Its objective.",
        "candidates": "Its candidates.",
        "difference": "Its points against the baseline with `augmentation`.",
        "other_difference": "Its points against the baseline with `other`.",
        "other_low": "Lower end of the simultaneous 95 % interval with that.",
        "other_high": "Its upper end.",
        "other_verdict": "Its verdict with that.",
        "lost": "Points that the best of these methods with `other` is ahead of it there.",
    },
}
"""By table, its columns."""
