"""faiss on a CUDA device: proven answers there, and a plain refusal where it cannot be used."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from nsbench.benchmarks.mining.clusters import spherical_kmeans
from nsbench.benchmarks.search import by_faiss
from nsbench.benchmarks.search.exact import top_k
from tools.timing.gpu_faiss import faiss_checks, faiss_rows

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.gpu
def test_faiss_on_a_device_gives_the_reference_answer() -> None:
    for name, act in faiss_checks(CUDA).items():
        assert act(), name


def test_the_same_calls_give_the_reference_answer_on_a_cpu() -> None:
    for name, act in faiss_checks(CPU).items():
        assert act(), name
    ways = [row["how"] for row in faiss_rows(CPU, small=True)]
    assert ways[:3] == ["faiss alone", "backend faiss", "backend torch"]
    assert ways[-2:] == ["faiss, CPU", "faiss, device"]


def test_queries_that_stay_unproven_at_the_most_are_searched_by_the_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(by_faiss, "most_places", lambda device: 40)
    draw = torch.Generator().manual_seed(0)
    tied = torch.randint(-1, 2, (300, 3), generator=draw).float()  # of 27 kinds
    exclude = torch.arange(25)[:, None]
    found = top_k(tied[:25], tied, 20, backend="faiss", exclude=exclude)
    wanted = top_k(tied[:25], tied, 20, exclude=exclude)
    assert torch.equal(found.ids, wanted.ids)
    assert torch.equal(found.scores, wanted.scores)
    assert found.repeated >= 25
    with pytest.raises(ValueError, match="at most 40 rows on cpu, k is 40 and up to 1 are"):
        top_k(tied[:25], tied, 40, backend="faiss", exclude=exclude)


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (SimpleNamespace(), "is for CPUs only"),
        (SimpleNamespace(GpuIndexFlatIP=None, get_num_gpus=lambda: 0), "sees no GPU"),
    ],
)
def test_a_build_that_cannot_use_the_device_is_refused(
    monkeypatch: pytest.MonkeyPatch, build: Any, why: str
) -> None:
    module = ModuleType("faiss")
    threads = {"omp_get_max_threads": lambda: 1, "omp_set_num_threads": lambda n: None}
    vars(module).update(vars(build) | threads)
    monkeypatch.setitem(sys.modules, "faiss", module)
    with pytest.raises(ValueError, match=f"{why}: run 'nsbench doctor', or choose"):
        by_faiss.most_places(CUDA)
    assert by_faiss.most_places(CPU) > 1 << 40


def test_kmeans_is_that_of_the_library() -> None:
    import faiss

    draw = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(500, 24, generator=draw), dim=1)
    theirs = faiss.Kmeans(
        24, 7, niter=20, spherical=True, seed=3, min_points_per_centroid=1, verbose=False
    )
    theirs.train(points.numpy())
    wanted = torch.nn.functional.normalize(torch.from_numpy(theirs.centroids), dim=1)
    assert torch.equal(spherical_kmeans(points, 7, 3 + (1 << 31)), wanted)
