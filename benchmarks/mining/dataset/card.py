"""The README of a mined data set: content, origin and difficulty."""

import json
from html import escape
from typing import Any

from nsbench.benchmarks.data._reading import sentences
from nsbench.benchmarks.mining.dataset.mined_set import MinedSet

_READ = {
    "triplet": "columns `anchor`, `positive`, `negative`",
    "n-tuple": "columns `anchor`, `positive`, `negative_1` ... `negative_n`",
    "labeled-pair": "columns `anchor`, `positive` (any document) and `label` (1 or 0)",
    "labeled-list": "columns `anchor`, `positive` (a list of documents) and `labels`",
    "flagembedding": "FlagEmbedding's `query`, `pos`, `neg`",
    "tevatron": "Tevatron's `query`, `positive_passages`, `negative_passages`",
    "beir": "a BEIR folder: corpus, queries, and qrels with 1 for positives and 0 for negatives",
}


def card(mined: MinedSet, made: dict[str, Any], found: dict[str, Any]) -> str:
    """Markdown with the front matter that the hub reads.

    Args:
        mined: The set.
        made: What it was made from: ``key``, ``data``, ``model``, ``settings``, ``format``,
            ``files``, ``versions``.
        found: Its `report`.
    """
    data, form = made["data"], made["format"]
    parts = [
        _front_matter(made),
        f"# {_text(data['name'])} with mined negatives",
        f"Made by `nsbench mine`. {_READ[form]}."
        + (" `scores`: similarity of the positive, then of the negatives." * made["scores"]),
        _loading(made),
        _reading(made.get("read")),
        "## Settings",
        _table(("setting", "value"), [(k, _value(v)) for k, v in _settings(made)]),
        "## Difficulty",
        _difficulty(made, found),
        "## Possible false negatives",
        "Shares of all negatives; only the first counts known ones, the others are signs.",
        _table(("sign", "share"), [(k, _value(v)) for k, v in found["false_negatives"].items()]),
        "## Candidates that were not taken",
        _table(("reason", "candidates"), [(k, str(v)) for k, v in found["rejected"].items() if v]),
        "## Examples",
        _examples(mined),
    ]
    return "\n\n".join(p for p in parts if p) + "\n"


def _front_matter(made: dict[str, Any]) -> str:
    lines = [
        "---",
        "tags:",
        "- sentence-transformers",
        "- hard-negatives",
        "- nsbench",
        "task_categories:",
        "- feature-extraction",
    ]
    if made["format"] != "beir":
        path = next(iter(made["files"]))
        lines += [
            "configs:",
            "- config_name: default",
            "  data_files:",
            "  - split: train",
            f"    path: {path}",
        ]
    return "\n".join([*lines, "---"])


def _loading(made: dict[str, Any]) -> str:
    if made["format"] == "beir":
        return ""
    code = 'from datasets import load_dataset\n\ntrain = load_dataset("<this folder>")["train"]'
    return f"```python\n{code}\n```"


def _reading(read: dict[str, Any] | None) -> str:
    """Counts of what was read and left out, with the first places of each reason."""
    lines = [_text(line) for line in sentences(read)]
    return "\n".join(["## Rows read", "", *(f"- {line}" for line in lines)]) if lines else ""


def _settings(made: dict[str, Any]) -> list[tuple[str, Any]]:
    model, data = made["model"], made["data"]
    rows = [("data", f"{data['name']} ({data['rows']} rows, {data['texts']} texts)")]
    rows += [("data, SHA-256", data["digest"])]
    for kind in ("model", "judge", "cross_encoder"):
        if made.get(kind):
            rows += [(kind, made[kind]["name"]), (f"{kind}, weights", made[kind]["revision"])]
    if not model:
        rows += [("model", "none: bm25")]
    rows += list(made["settings"].items())
    rows += [(f"version of {k}", v) for k, v in made["versions"].items()]
    return rows


def _difficulty(made: dict[str, Any], found: dict[str, Any]) -> str:
    names = ("mean", "std", "q05", "q25", "q50", "q75", "q95")
    rows = [
        (quantity, *(_value(values[n]) for n in names))
        for quantity, values in found["difficulty"].items()
    ]
    counts = found["counts"]
    words = (
        f"{counts['rows_written']} of {counts['rows']} rows, {counts['negatives']} negatives, "
        f"{found['texts']['distinct_negatives']} of them different; the most frequent one occurs "
        f"{found['texts']['most_often']} times. {counts['rows_short']} rows found too few, "
        f"{counts['padded']} places are filled at random."
    )
    told = "\n\n".join(p for p in (words, _short(made, found)) if p)
    return f"{told}\n\n{_table(('score', *names), rows)}"


def _short(made: dict[str, Any], found: dict[str, Any]) -> str:
    """Places that were examined, what left rows short, and what to set."""
    window, settings = found["window"], made["settings"]
    if not window["stop"]:
        return ""
    words = f"Places {window['start']} to {window['stop']} of each ranking were examined"
    if window["rows_widened"]:
        words += (
            f", and for {window['rows_widened']} rows, which found too few there, more: up to "
            f"{window['widest_stop']}"
        )
    by = [f"`{name}` left {count} rows short" for name, count in found["short_by"].items()]
    if by:
        words += f". {'; '.join(by)}: {_remedy(found['short_by'], settings)}"
    return words + "."


def _remedy(short_by: dict[str, int], settings: dict[str, Any]) -> str:
    """Return what to set so that fewer rows are short."""
    advice = {
        "sampler": f"choose a sampler that keeps more than `{settings['sampler']}`, or a higher "
        "`range_max`",
        "corpus": f"ask for fewer than {settings['negatives']} `negatives`, or add texts with "
        "`--corpus`",
        "range_min": "lower `range_min`",
    }
    filters = [name for name in short_by if name not in advice]
    more = ["a higher `range_max`"] if settings["range_max"] or settings["range_min"] else []
    said = [f"loosen `{name}`" for name in filters]
    said = [" or ".join([", ".join(said), *more])] if said else []
    return "; ".join([*said, *(text for name, text in advice.items() if name in short_by)])


def _examples(mined: MinedSet) -> str:
    texts, data = mined.data.texts, mined.data
    rows = []
    for row in (mined.kept & (mined.negatives[:, 0] >= 0)).nonzero()[0][:3].tolist():
        first = int(mined.negatives[row, 0])
        rows.append((texts[data.anchor[row]], texts[data.positive[row]], texts[first]))
    return _table(("anchor", "positive", "first negative"), [[_text(c) for c in r] for r in rows])


def _table(head: Any, rows: Any) -> str:
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return _text(value if isinstance(value, str) else json.dumps(value))


def _text(value: str, most: int = 200) -> str:
    """One table cell: markup escaped, on one line, cut."""
    words = " ".join(str(value).split())
    return escape(words if len(words) <= most else words[: most - 1] + "…").replace("|", "\\|")
