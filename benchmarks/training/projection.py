"""A linear map of an encoder's embeddings in closed form, for the baseline `linear_projection`."""

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders import Encoder, encode_texts
from nsbench.benchmarks.records.cell import Cell
from nsbench.benchmarks.training.regime import SkipCellError

Doubles = NDArray[np.float64]


def project_cell(cell: Cell, data: TrainingData, encoder: Encoder) -> None:
    """Map the encoder of a cell in place, where its sampler is the closed-form one.

    Raises:
        SkipCellError: If the encoder has no table to take the map in, or no pair has two texts.
    """
    if cell.sampler.name != "linear_projection":
        return
    table = getattr(encoder, "table", None)
    if table is None:
        raise SkipCellError(
            f"linear_projection maps a table of token embeddings, and {cell.encoder.name} is "
            "more than that; use the encoder static"
        )
    apart = data.group[data.anchor] != data.group[data.positive]
    if not apart.any():
        raise SkipCellError(
            f"linear_projection learns from pairs of two texts, and every positive of {data.name} "
            "is its anchor"
        )
    texts = np.unique(np.concatenate([data.anchor[apart], data.positive[apart]]))
    points = np.asarray(encode_texts(encoder, [data.texts[i] for i in texts]), np.float64)
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    left, right = (
        points[np.searchsorted(texts, side[apart])] for side in (data.anchor, data.positive)
    )
    linear = relevant_components(left - right, float(cell.sampler.params["shrinkage"]))
    with torch.no_grad():
        mapped = table.double() @ torch.from_numpy(linear).to(table.device)
        table.copy_(mapped)


def relevant_components(differences: Doubles, shrinkage: float) -> Doubles:
    """``(d, d)`` symmetric inverse square root of the shrunk covariance of differences.

    Args:
        differences: ``(n, d)`` of pairs; their mean counts as 0.
        shrinkage: Share of the mean variance times the identity, in (0, 1].
    """
    covariance = differences.T @ differences / len(differences)
    mean = np.trace(covariance) / len(covariance)
    shrunk = (1 - shrinkage) * covariance + shrinkage * mean * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(shrunk / mean)
    out: Doubles = (vectors / np.sqrt(values)) @ vectors.T
    return out
