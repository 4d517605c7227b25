"""Fills the Hugging Face cache with all that a matrix names, where there is a network."""

from collections.abc import Iterator
from typing import Any

from nsbench.benchmarks.config import MatrixConfig
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.matrix import expand_axes, label_sources, make
from nsbench.benchmarks.mteb_tasks import load, resolve


def fetch(config: MatrixConfig) -> Iterator[dict[str, Any]]:
    """Load everything once through the same code that a run uses, so that the cache holds it.

    Args:
        config: The matrix; encoders, data and evaluation tasks are read.

    Yields:
        One ``{"kind", "name", "revision"}`` a thing, after it was loaded; ``revision`` is a hash of
        the content for encoders and data, and ``repository@revision`` for evaluation tasks.

    Raises:
        ValueError: If something cannot be had.
    """
    encoder_choices, data_choices = expand_axes(config)
    for choice in encoder_choices:
        spec = make(encoders, choice)
        spec.check()
        yield {"kind": "encoder", "name": str(choice), "revision": str(spec.fingerprint())}
    for choice in (*data_choices, *label_sources(config)):
        data = make(datasets, choice)()
        yield {"kind": "data", "name": str(choice), "revision": data.revision or data.digest}
    names = [t for t in (*config.evaluation.tasks, config.evaluation.dev) if t not in ("own", "")]
    for request in resolve(names):
        loaded = load(request)
        yield {"kind": "task", "name": request.name, "revision": str(loaded.source)}
