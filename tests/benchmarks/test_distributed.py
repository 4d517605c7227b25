"""Two processes with gathered negatives are one process with the whole batch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = """
import sys
import numpy as np
import torch
import torch.distributed as dist
from nsbench.benchmarks.context import Known, lay_out, mask_candidates
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.distributed import average_gradients, gather, own_anchors
from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import SimilarityContext, make

rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
if size > 1:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size
    )
B, T = 12, 24
rows = np.arange(B)
texts = tuple(f"text {i % 20}" for i in range(T))  # some positives equal other anchors
data = TrainingData("t", texts, rows, rows + B, np.empty((B, 0), np.int64))
known = Known(data, torch.device("cpu"))
draw = torch.Generator().manual_seed(0)
points = torch.randn(T, 6, generator=draw)
CASES = [
    (make("in_batch"), objectives.make("info_nce", temperature=0.1), False),
    (make("in_batch"), objectives.make("nt_xent"), True),
    (make("hard", k=3), objectives.make("triplet"), False),
    (make("semi_hard"), objectives.make("info_nce", temperature=0.1), True),
    (make("median_triplet"), objectives.make("truncated_triplet"), False),
]
results = []
for sampler, objective, both in CASES:
    for sparse in (False, True):
        model = torch.nn.Embedding(T, 6, sparse=sparse)
        head = torch.nn.Linear(6, 5)
        with torch.no_grad():
            model.weight.copy_(points)
            head.weight.copy_(points[:5])
            head.bias.zero_()
        mine = torch.arange(B).chunk(size)[rank]
        texts1, texts2 = mine, mine + B
        z1, z2 = (torch.nn.functional.normalize(head(model(t)), dim=1) for t in (texts1, texts2))
        if size > 1:
            z1, z2, texts1, texts2 = map(gather, (z1, z2, texts1, texts2))
        contrast = lay_out(z1, z2, texts1, texts2, both=both)
        if size > 1:
            contrast = own_anchors(contrast)
        live = contrast.anchors @ contrast.columns.T
        masks = mask_candidates(contrast, known)
        context = SimilarityContext(live.detach(), contrast.positive, masks.negative)
        loss = objective(live, context, sampler(context)).mean()
        loss.backward()
        both_modules = torch.nn.ModuleList([model, head])
        loss = loss.detach()
        if size > 1:
            average_gradients(both_modules)
            dist.all_reduce(loss)
            loss = loss / size
        grads = [p.grad.to_dense() for p in both_modules.parameters()]
        assert model.weight.grad.is_sparse == sparse
        results.append([loss, *grads])
torch.save(results, f"{folder}/{size}-{rank}.pt")
if size > 1:
    dist.destroy_process_group()
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch has no distributed")
def test_two_processes_give_the_loss_and_gradient_of_one(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    runs = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(size), str(tmp_path)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for size, ranks in ((1, 1), (2, 2))
        for rank in range(ranks)
    ]
    errors = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], errors
    whole = torch.load(tmp_path / "1-0.pt")
    for rank in range(2):
        parts = torch.load(tmp_path / f"2-{rank}.pt")
        for one, two in zip(whole, parts, strict=True):
            assert float(one[0]) > 0
            assert float(one[1].abs().max()) > 1e-3
            for a, b in zip(one, two, strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
