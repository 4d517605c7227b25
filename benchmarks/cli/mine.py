"""The command ``nsbench mine``."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from nsbench.benchmarks import hub
from nsbench.benchmarks.cli.console import err, escaped, out, settle_hub


def mine(
    data: Annotated[
        str,
        typer.Argument(
            help="Pairs: a file, a BEIR folder, or a data set by name, planted\\[rows=200]."
        ),
    ],
    to: Annotated[Path, typer.Option("--out", "-o", help="Folder of the mined set.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Whose ranking: a folder or hub name.")
    ] = "",
    sampler: Annotated[
        str | None, typer.Option(help="Chooses in the window: name\\[parameter=value,...].")
    ] = None,
    shortage: Annotated[
        str | None, typer.Option(help="drop, fewer, pad_random or error; has to be said.")
    ] = None,
    negatives: Annotated[int | None, typer.Option("--negatives", "-n")] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="triplet, n-tuple, labeled-pair, labeled-list, flagembedding, tevatron, beir.",
        ),
    ] = "triplet",
    scores: Annotated[bool, typer.Option("--scores", help="Write similarities along.")] = False,
    file_type: Annotated[str, typer.Option(help="jsonl or parquet.")] = "jsonl",
    corpus: Annotated[Path | None, typer.Option(help="Further texts to mine from.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="anchor=question: names of the columns; repeatable.")
    ] = None,
    split: Annotated[str, typer.Option(help="Of a BEIR folder or hub data set.")] = "",
    read: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OPTION=VALUE",
            help="How the data are read: header, quotes, delimiter, encoding, ragged, bad_rows; "
            "repeatable.",
        ),
    ] = None,
    read_corpus: Annotated[
        list[str] | None,
        typer.Option(metavar="OPTION=VALUE", help="How --corpus is read; repeatable."),
    ] = None,
    pick: Annotated[str | None, typer.Option(help="top or random.")] = None,
    source: Annotated[str | None, typer.Option(help="model or bm25.")] = None,
    range_min: Annotated[int | None, typer.Option()] = None,
    range_max: Annotated[int | None, typer.Option()] = None,
    margin: Annotated[float | None, typer.Option(help="Keep s_neg <= s_pos - margin.")] = None,
    relative_margin: Annotated[
        float | None, typer.Option(help="Keep s_neg <= s_pos - |s_pos| * margin.")
    ] = None,
    max_score: Annotated[float | None, typer.Option()] = None,
    min_score: Annotated[float | None, typer.Option()] = None,
    against: Annotated[str | None, typer.Option(help="own or lowest positive.")] = None,
    among: Annotated[str | None, typer.Option(help="documents or all texts.")] = None,
    query_prompt: Annotated[str | None, typer.Option()] = None,
    corpus_prompt: Annotated[str | None, typer.Option()] = None,
    query_prompt_name: Annotated[str, typer.Option(help="A prompt of the model.")] = "",
    corpus_prompt_name: Annotated[str, typer.Option(help="A prompt of the model.")] = "",
    cross_encoder: Annotated[str, typer.Option(help="Scores the window again.")] = "",
    judge: Annotated[
        str, typer.Option(help="A second model: for the report, and for samplers with a guide.")
    ] = "",
    backend: Annotated[
        str | None, typer.Option(help="torch, faiss or fused (CUDA); same answer.")
    ] = None,
    search_devices: Annotated[
        str | None, typer.Option(help="Where the search runs: cuda:0,cuda:1; default the CPU.")
    ] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where embeddings are kept; default OUT/.cache.")
    ] = None,
    device: Annotated[str, typer.Option()] = "auto",
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    revision: Annotated[str, typer.Option(help="Hub revision of the model.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite")] = False,
) -> None:
    """Mine negatives as a data set, with a difficulty report and a card; it can be resumed."""
    from nsbench.benchmarks.data._reading import parse_reading
    from nsbench.benchmarks.device import pick_device
    from nsbench.benchmarks.encoders.pretrained import load_model
    from nsbench.benchmarks.mining.dataset.cache import EmbeddingCache
    from nsbench.benchmarks.mining.dataset.formats import check_format
    from nsbench.benchmarks.mining.dataset.rescore import load_rescorer
    from nsbench.benchmarks.mining.dataset.settings import from_sampler
    from nsbench.benchmarks.mining.dataset.write import Wanted, mine_to, read_data, with_corpus

    given = {
        "sampler": sampler,
        "shortage": shortage,
        "negatives": negatives,
        "pick": pick,
        "source": source,
        "range_min": range_min,
        "range_max": range_max,
        "margin": margin,
        "relative_margin": relative_margin,
        "max_score": max_score,
        "min_score": min_score,
        "against": against,
        "among": among,
        "query_prompt": query_prompt,
        "corpus_prompt": corpus_prompt,
        "backend": backend,
        "devices": search_devices,
        "seed": seed,
    }
    of_hub = data.partition("[")[0] in ("hub", "sts_unlabelled")
    if of_hub or not all(map(hub.is_local, (model, judge, cross_encoder))):
        settle_hub()
    settings = from_sampler(given)
    check_format(form, settings.shortage, file_type)
    if settings.source == "model" and not model:
        raise ValueError("mine: name a model with --model, or choose --source bm25")
    if read_corpus and corpus is None:
        raise ValueError("mine: --read-corpus is given without --corpus")
    pairs = read_data(data, _columns(column or []), split, parse_reading(read or [], "--read"))
    rows, documents = with_corpus(pairs, corpus, parse_reading(read_corpus or [], "--read-corpus"))
    loading: dict[str, Any] = {
        "device": str(pick_device(device)),
        "batch_size": batch_size,
    }
    with err.status("loading models"):
        ranker = None
        if settings.source == "model":
            ranker = load_model(model, revision=revision, **loading)
        if ranker and (query_prompt_name or corpus_prompt_name):
            prompts = {
                "query_prompt": ranker.prompt(query_prompt_name) if query_prompt_name else None,
                "corpus_prompt": ranker.prompt(corpus_prompt_name) if corpus_prompt_name else None,
            }
            settings = from_sampler({k: v for k, v in prompts.items() if v} | given)
        second = load_model(judge, **loading) if judge else None
        rescorer = load_rescorer(cross_encoder, **loading) if cross_encoder else None

    def say(text: str) -> None:
        err.print(escaped(text), soft_wrap=True)

    with err.status("encoding and ranking"):
        made, before = mine_to(
            to,
            rows,
            settings,
            Wanted(form, scores, file_type),
            model=ranker,
            judge=second,
            rescorer=rescorer,
            documents=documents,
            cache=EmbeddingCache(cache or to / ".cache", say),
            overwrite=overwrite,
        )
    _show(to, made, before)


def _columns(given: list[str]) -> dict[str, str]:
    wrong = [c for c in given if "=" not in c]
    if wrong:
        raise ValueError(f"mine: cannot read the column {wrong[0]!r}: write anchor=question")
    return dict(c.split("=", 1) for c in given)


def _show(to: Path, made: dict[str, Any], before: bool) -> None:
    from nsbench.benchmarks.data._reading import sentences

    for text in sentences(made.get("read")):
        out.print(escaped(text), soft_wrap=True)
    found = made["report"]
    counts, false = found["counts"], found["false_negatives"]
    if before:
        out.print(f"already there, made with the same settings: {to}", soft_wrap=True)
    out.print(
        f"{counts['rows_written']} of {counts['rows']} rows, {counts['negatives']} negatives "
        f"({counts['rows_short']} rows found too few, {counts['padded']} places padded)",
        soft_wrap=True,
    )
    for name in ("positive_score", "negative_score", "margin"):
        values = found["difficulty"][name]
        if values["mean"] is not None:
            out.print(
                f"{name:15} mean {values['mean']:7.4f}   5 % {values['q05']:7.4f}   "
                f"median {values['q50']:7.4f}   95 % {values['q95']:7.4f}"
            )
    signs = [f"{k} {v:.2%}" for k, v in false.items() if v is not None]
    out.print(f"false negatives? {', '.join(signs) or 'nothing known'}", soft_wrap=True)
    names = [*made["files"], "README.md", "report.json", "provenance.parquet"]
    out.print(f"wrote {', '.join(names)} in {to}{os.sep}", soft_wrap=True)
