"""Facts of the training data for a record."""

import math
from typing import Any

import numpy as np

from nsbench.benchmarks.data import TrainingData, false_negative_rate


def describe_data(data: TrainingData) -> dict[str, Any]:
    """Return size, duplicates and content hash of the training data, for the record."""
    group = data.group
    counts = np.bincount(group)
    rate = false_negative_rate(data)
    return {
        "name": data.name,
        "digest": data.digest,
        "revision": data.revision,
        "rows": data.rows,
        "texts": len(data.texts),
        "unique_texts": len(counts),
        "duplicate_share": float((counts[group] > 1).mean()) if len(group) else 0.0,
        "labelled": data.meaning is not None,
        "false_negative_rate": None if math.isnan(rate) else rate,
        **({"report": data.report} if data.report else {}),
    }
