"""faiss on a CUDA device, checked and timed next to our searches; called by `tools.timing.gpu`.

On a CPU the same calls run with faiss's CPU indexes at a tiny size, to show that they work.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from nsbench.benchmarks.mining.clusters import spherical_kmeans
from nsbench.benchmarks.search.by_faiss import (
    faiss_threads,
    flat_index,
    on_devices,
    resources_of,
)
from nsbench.benchmarks.search.exact import TopK, top_k
from tools.timing._device_steps import synchronised
from tools.timing.gpu_search import points_of

CPU = torch.device("cpu")


def faiss_checks(device: torch.device) -> dict[str, Callable[[], str]]:
    """Checks by name; each says what it saw, or raises."""
    return {
        "faiss = reference": partial(_equal, device),
        "faiss gives its most": partial(_most, device),
        "faiss, one device twice = one": partial(_twice, device),
        "k-means on a device is as good as on the CPU": partial(_clusters, device),
    }


def _same(found: TopK, wanted: TopK) -> None:
    wrong = int((found.ids != wanted.ids).any(dim=1).sum())
    if wrong or not torch.equal(found.scores, wanted.scores):
        raise AssertionError(f"{wrong} of {len(found.ids)} queries have other neighbours")


def _equal(device: torch.device) -> str:
    rows, size, k = (40, 600, 7) if device.type == "cpu" else (5000, 50_000, 100)
    queries, corpus = points_of(rows, 64, device, 1), points_of(size, 64, device, 2)
    corpus[size // 2 :] = corpus[: size - size // 2].clone()  # ties: every vector twice
    exclude = top_k(queries, corpus, 2).ids
    again = 0
    for memory, excluded in ((256 << 20, None), (1 << 20, exclude)):
        found = top_k(queries, corpus, k, backend="faiss", memory=memory, exclude=excluded)
        _same(found, top_k(queries, corpus, k, exclude=excluded))
        again += found.repeated
    return f"{2 * rows} queries, bit for bit; {again} done again"


def _most(device: torch.device) -> str:
    """Compare where more rows are equal than faiss gives on a device."""
    draw = torch.Generator(device).manual_seed(0)
    size = 600 if device.type == "cpu" else 20_000
    tied = torch.randint(-1, 2, (size, 3), device=device, generator=draw).float()
    found = top_k(tied[:50], tied, 20, backend="faiss")
    _same(found, top_k(tied[:50], tied, 20))
    return f"50 queries among ties, bit for bit; {found.repeated} done again"


def _twice(device: torch.device) -> str:
    points = points_of(700 if device.type == "cpu" else 20_000, 32, device, 1)
    found = top_k(points[:30], points, 9, backend="faiss", devices=[device, device])
    _same(found, top_k(points[:30], points, 9))
    return f"{found.devices[0]} twice"


def _clusters(device: torch.device) -> str:
    size, wanted = (600, 8) if device.type == "cpu" else (20_000, 100)
    points = points_of(size, 32, device, 1)
    scores = [_quality(at, spherical_kmeans(at, wanted, 3)) for at in (points, points.cpu())]
    if abs(scores[0] - scores[1]) > 0.01:
        raise AssertionError(f"mean cosine with the centroid {scores[0]:.4f}, not {scores[1]:.4f}")
    with faiss_threads() as faiss:
        where = device.type if on_devices(faiss) else "cpu"
    return f"mean cosine with the centroid {scores[0]:.4f} on {where}, {scores[1]:.4f} on the CPU"


def _quality(points: torch.Tensor, centroids: torch.Tensor) -> float:
    return float((points @ centroids.T).amax(dim=1).mean())


def faiss_rows(device: torch.device, *, small: bool) -> Iterator[dict[str, Any]]:
    """Times, as rows for the table of `tools.timing.gpu`; its "eager" is the first of a job.

    Args:
        device: Where.
        small: For a rehearsal.
    """
    rows, size, width, k = (64, 600, 32, 10) if small else (20_000, 1_000_000, 384, 100)
    memory = (64 if small else 8192) << 20
    queries, corpus = points_of(rows, width, device, 1), points_of(size, width, device, 2)
    job, work = f"top {k}, {rows} x {size} x {width}", 2 * rows * size * width

    def alone() -> None:
        with faiss_threads() as faiss:
            index = flat_index(faiss, width, device, resources_of(faiss, device, memory // 4))
            index.add_c(size, faiss.cast_integer_to_float_ptr(corpus.data_ptr()))
            found, ids = (
                queries.new_empty(rows, k),
                torch.empty(rows, k, dtype=torch.int64, device=device),
            )
            index.search_c(
                rows,
                faiss.cast_integer_to_float_ptr(queries.data_ptr()),
                k,
                faiss.cast_integer_to_float_ptr(found.data_ptr()),
                faiss.cast_integer_to_idx_t_ptr(ids.data_ptr()),
            )

    found: list[TopK] = []

    def ours(backend: str, asked: torch.Tensor = queries) -> None:
        found[:] = [top_k(asked, corpus, k, backend=backend, memory=memory)]

    alone()
    first = _seconds(device, alone)
    yield _row(job, "faiss alone", first, first, work, "its flat index, rounded scores decide")
    for backend in ("faiss", "torch", "fused"):
        try:
            ours(backend, queries[:1000])  # kernels are compiled
        except ModuleNotFoundError as error:
            yield {"job": job, "how": f"backend {backend}", "note": f"not measured: {error}"}
            continue
        took = _seconds(device, partial(ours, backend))
        note = f"exact, {found[0].product}; {found[0].repeated} repeated"
        yield _row(job, f"backend {backend}", took, first, work, note)

    count, wanted = (600, 8) if small else (100_000, 1000)
    points = points_of(count, width, device, 3)
    job = f"k-means, {count} x {width}, {wanted} clusters"
    plain, there = points.cpu(), partial(spherical_kmeans, points, wanted, 1)
    on_cpu = _seconds(CPU, partial(spherical_kmeans, plain, wanted, 1))
    yield _row(job, "faiss, CPU", on_cpu, on_cpu, 0, f"{torch.get_num_threads()} threads")
    there()
    yield _row(job, "faiss, device", _seconds(device, there), on_cpu, 0, "")


def _row(
    job: str, how: str, seconds: float, against: float, work: int, note: str
) -> dict[str, Any]:
    row = {"job": job, "how": how, "note": note, "ms_per_step": f"{1e3 * seconds:.1f}"}
    row["times_eager"] = f"{against / seconds:.2f}"
    return row | ({"tflops": f"{work / seconds / 1e12:.3g}"} if work else {})


def _seconds(device: torch.device, act: Callable[[], object]) -> float:
    began = synchronised(device)
    act()
    return synchronised(device) - began
