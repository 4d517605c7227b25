"""An audit as files: ``audit.json``, ``audit.md``, ``audit.html`` and figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nsbench.analysis.recommend import pictures
from nsbench.analysis.recommend.page import Block, Picture, Says, Section, Table, write_pages
from nsbench.benchmarks.data._reading import sentences
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import pretty_json

if TYPE_CHECKING:
    from nsbench.benchmarks.audit.audit import Audit

FACTS = {
    "rows": "rows",
    "repeated_rows": "rows that repeat an earlier one",
    "same_texts": "rows whose two texts are equal",
    "texts": "different texts",
    "equal_but_for_case_or_space": "texts that equal another but for case, form or spaces",
    "anchors": "different anchors",
    "several_positives": "anchors with several positives",
    "given_negatives": "given negatives",
    "blank": "texts of at most one word",
    "cut": "texts that end in an ellipsis or a hyphen, and may be cut",
    "at_greatest_length": "texts of exactly the greatest length, where that hints at a cut",
    "greatest_length": "characters of the longest text",
}


def sections(found: Mapping[str, Any], figures: Mapping[str, Picture]) -> list[Section]:
    """Return the sections of an audit; ``false_negatives`` is drawn where it could be measured."""
    facts, parts = found["facts"], found["parts"]
    words, scripts = facts["words"], facts["scripts"]
    read = [Says(text) for text in sentences(facts.get("read"))]
    rows = [(text, f"{facts[name]:,}") for name, text in FACTS.items()]
    rows.append(("words per text: 5 %, median, 95 %", " / ".join(f"{w:g}" for w in words.values())))
    rows.append(("texts by script", ", ".join(f"{n} {c:,}" for n, c in scripts.items())))
    rows.append(("pairs of texts that are nearly equal", f"{found['near_pairs']:,}"))
    split = [(name, f"{p['rows']:,}", f"{p['groups']:,}") for name, p in parts.items()]
    return [
        Section("What the data hold", [*read, Table(("", "count"), tuple(rows))]),
        Section("False negatives", _false_negatives(found, figures)),
        Section(
            "Difficulty of candidates",
            [
                figures["difficulty"],
                Says(
                    "The farther the candidates of a source lie to the right, the harder they are. "
                    "Where they lie to the right of the positives, the similarity cannot tell them "
                    f"from positives. One measure for all: cosine by {found['similarity']}. "
                    f"{found['read']['ranked']:,} texts were ranked."
                ),
            ],
        ),
        Section("The most suspicious texts", _suspicious(found)),
        Section(
            "Parts",
            [
                Table(("part", "rows", "connected groups"), tuple(split)),
                Says(
                    "Rows that share a text, or hold texts that are nearly equal, form a group; a "
                    "group is in one part as a whole, so no text is in two parts. The largest "
                    f"group has {found['largest_group']:,} rows. {found['read']['texts']:,} texts "
                    "were searched for nearly equal ones."
                ),
            ],
        ),
    ]


def _false_negatives(found: Mapping[str, Any], figures: Mapping[str, Picture]) -> list[Block]:
    false = found["false_negatives"]
    if false["why_not"]:
        return [Says(f"Not measurable: {false['why_not']}.")]
    first, told = false["by_swaps"][0], false["by_labels"]
    judge = {s["name"]: f"{s['low']:.2%} to {s['high']:.2%}" for s in false["by_judge"]}
    columns = ["candidates", "at least", "estimate", "at most", "number"]
    rows = []
    for s in false["by_swaps"]:
        row = [s["name"], *(f"{s[end]:.2%}" for end in ("low", "share", "high"))]
        rows.append([*row, f"{s['candidates']:,}"])
        if judge:
            rows[-1].append(judge.get(s["name"], ""))
        if told:
            rows[-1].append(f"{told[s['name']]:.2%}" if s["name"] in told else "")
    if judge:
        columns.append(f"by {false['judge']}")
    if told:
        columns.append("by the labels of the data")
    more = (
        [
            Says(
                f"A second opinion is that of {false['judge']}, which reads both texts of a pair "
                "at once and was fitted to none of them. It judges a sample of the same swaps, so "
                "its interval is wider. Where it errs on more than one pair of different rows in "
                "four, its lower end is too high; its upper end needs no such assumption."
            )
        ]
        if judge
        else []
    )
    return [
        Says(
            f"Of random candidates, between {first['low']:.2%} and {first['high']:.2%} would pass "
            "as the anchor's given positive.",
            strong=True,
        ),
        figures["false_negatives"],
        Table(tuple(columns), tuple(map(tuple, rows))),
        Says(
            "Two rows that mean the same could have their positives swapped, and the swapped pairs "
            "would be more similar than the given ones one time in two. Counting such swaps gives "
            "the estimate and the upper end; no threshold is involved. The lower end allows the "
            "similarity to err on one pair of different rows in four. It was fitted on other rows. "
            f"{found['read']['rows']:,} rows were read. Documents that are no row's positive are "
            "not judged."
        ),
        *more,
    ]


def _suspicious(found: Mapping[str, Any]) -> list[Block]:
    if not found["suspicious"]:
        return [Says("None are listed, for false negatives are not measurable here.")]
    rows = tuple(
        (
            s["anchor"],
            s["positive"],
            s["candidate"],
            s["place"],
            f"{s['positive_similarity']:.2f}",
            f"{s['candidate_similarity']:.2f}",
            f"{s['words_in_common']:.2f}",
        )
        for s in found["suspicious"]
    )
    columns = ("anchor", "its positive", "candidate", "place", "cosine of the positive")
    more = ("cosine of the candidate", "by words")
    return [
        Says("Candidates whose rows are most like the anchor's: read them, and decide."),
        Table((*columns, *more), rows),
    ]


def draw(found: Mapping[str, Any], folder: Path) -> dict[str, Picture]:
    """Draw the figures of an audit into a folder."""
    edges = np.linspace(-1.0, 1.0, len(next(iter(found["histograms"].values()))) + 1)
    table = pd.concat(
        pd.DataFrame(
            {
                "source": source,
                "low": edges[:-1],
                "high": edges[1:],
                "count": counts,
                "share": np.array(counts) / max(1, sum(counts)),
            }
        )
        for source, counts in found["histograms"].items()
    )
    text = "Similarity to the anchor of positives and of candidates by source"
    out = {
        "difficulty": pictures.drawn(folder, "difficulty", table, pictures.difficulty, text),
    }
    if found["false_negatives"]["by_swaps"]:
        shares = pd.DataFrame(found["false_negatives"]["by_swaps"])
        text = "Share of false negatives among random candidates and by place in the ranking"
        out["false_negatives"] = pictures.drawn(
            folder, "false_negatives", shares, pictures.false_negatives, text
        )
    return out


def write_audit(audit: "Audit", folder: Path, name: str) -> list[Path]:
    """Write an audit's files into a folder, and return the paths of its pages."""
    found = audit.plain()
    folder.mkdir(parents=True, exist_ok=True)
    figures = draw(found, folder)
    write_atomically(folder / "audit.json", pretty_json(found))
    return write_pages(folder, "audit", f"Audit of {name}", sections(found, figures))
