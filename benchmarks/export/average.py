"""The mean of the weights of a method's seeds, as a row next to the method.

Source: Wortsman et al. 2022, Model soups: averaging weights of multiple fine-tuned models improves
accuracy without increasing inference time, section 2 (uniform soup).
https://arxiv.org/abs/2203.05482
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import perf_counter

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from nsbench.benchmarks.encoders import Encoder, hash_weights, load_trained, trained_state
from nsbench.benchmarks.encoders._adapters import weights_of
from nsbench.benchmarks.export.cell import cell_from
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import canonical_json
from nsbench.benchmarks.matrix.expand import RANDOM
from nsbench.benchmarks.records import (
    CellPaths,
    RecordError,
    ResultsFolder,
    RunRecord,
    read_record,
)
from nsbench.benchmarks.records.cell import Cell, Choice
from nsbench.benchmarks.runs.cell_scores import score
from nsbench.benchmarks.runs.external import finished, recorded
from nsbench.benchmarks.training.regime import built_encoder

AVERAGE = "average"


@dataclass(frozen=True)
class Averaged:
    """One method of a results folder.

    Attributes:
        method: Its cells' text, without the seed.
        seeds: Seeds whose weights are averaged.
        record: Record of the average; ``None`` where there is none.
        reason: Why there is none.
        before: True if the record was there.
    """

    method: str
    seeds: tuple[int, ...]
    record: RunRecord | None = None
    reason: str = ""
    before: bool = False


def average(folder: ResultsFolder) -> Iterator[Averaged]:
    """Average the weights of every method over its seeds, score the average and record it.

    The average is a cell of the same matrix whose sampler is called ``average``: leaderboards
    show it next to the method. Cells must have kept their weights.
    """
    groups: dict[str, list[tuple[Cell, CellPaths, RunRecord]]] = defaultdict(list)
    for paths in folder.folders():
        try:
            record = read_record(paths)
            plain = {k: v for k, v in record.cell.items() if k != "labels"}
            cell = cell_from(plain)
        except (RecordError, ValueError, KeyError):
            continue  # of a model that nsbench did not train, or of another recipe
        if record.status == "done" and cell.budget.steps and cell.sampler.name != AVERAGE:
            groups[canonical_json(plain | {"seed": 0})].append((cell, paths, record))
    for _, found in sorted(groups.items()):
        found.sort(key=lambda one: one[0].seed)
        yield _averaged(folder, found)


def _averaged(
    folder: ResultsFolder, found: Sequence[tuple[Cell, CellPaths, RunRecord]]
) -> Averaged:
    first = found[0][0]
    told = Averaged(
        f"{first.sampler} x {first.augmentation}", tuple(cell.seed for cell, _, _ in found)
    )
    kept = [paths for _, paths, _ in found if paths.weights.is_file()]
    if len(found) < 2:
        return replace(told, reason="it has one seed")
    if len(kept) < len(found):
        return replace(told, reason="its cells kept no weights: set keep_weights = true")
    if first.inputs.get("encoder") == RANDOM:
        return replace(told, reason="its seeds start from different random weights")
    cell = replace(
        first,
        sampler=Choice(AVERAGE, {"of": str(first.sampler), "seeds": list(told.seeds)}),
        seed=0,
        inputs=dict(first.inputs) | {"averaged": " ".join(r.weights for _, _, r in found)},
    )
    paths = folder.cell(AVERAGE, cell.key)
    if (there := finished(paths)) is not None:
        return replace(told, record=there, before=True)
    since = datetime.now(UTC), perf_counter()
    encoder = _mean([(one, place) for one, place, _ in found])
    weights = hash_weights(encoder.state_dict().items())
    scored = score(cell, encoder, weights, results=paths.mteb)
    paths.folder.mkdir(parents=True, exist_ok=True)
    if not cell.encoder.params.get("lora"):  # the mean of adapters is no adapter of their rank
        write_atomically(paths.weights, save(_alone(trained_state(encoder))))
    record = recorded(cell, paths, scored.scores, scored.info, weights=weights, since=since)
    return replace(told, record=record)


def _mean(cells: Sequence[tuple[Cell, CellPaths]]) -> Encoder:
    """The encoder with the mean of the cells' weights; products of adapters count as weights."""
    total: dict[str, Tensor] = {}
    for cell, paths in cells:
        encoder = built_encoder(cell)
        load_trained(encoder, load_file(paths.weights))
        for name, value in weights_of(encoder).items():
            number = value.detach().double() if value.is_floating_point() else value
            total[name] = total[name] + number if name in total else number
    first = cells[0][0]
    params = {k: v for k, v in first.encoder.params.items() if k != "lora"}
    mean = built_encoder(replace(first, encoder=Choice(first.encoder.name, params)))
    kinds = mean.state_dict()
    with torch.no_grad():
        state = {
            name: (value / len(cells)).to(kinds[name].dtype)
            if value.is_floating_point()
            else kinds[name]
            for name, value in total.items()
        }
        mean.load_state_dict(state)
    return mean


def _alone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.detach().cpu().clone().contiguous() for k, v in state.items()}
