"""The trainer of sentence-transformers in two processes, with its own DistributedDataParallel."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("sentence_transformers")

TRAIN = """
import json, os, sys
from pathlib import Path
import torch
import torch.distributed as dist
torch.set_num_threads(1)
out, meet, rows, sampler, options = sys.argv[1:]
together = "RANK" in os.environ
from datasets import Dataset
from nsbench.benchmarks.adapters.sentence_transformers import (
    DifficultyCallback, NegativeSamplingLoss,
)
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.export.sentence_transformer import to_sentence_transformer
from made_trainer import trainer_for
data = datasets.make("planted", rows=64, seed=4)()
model = to_sentence_transformer(encoders.make("tiny").build(data.texts, seed=2))
for module in model.modules():
    if isinstance(module, torch.nn.Dropout):
        module.p = 0.0
columns = {"anchor": data.anchor, "positive": data.positive}
# After the model is made: with processes, transformers stores weights in the first alone.
if together:
    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=2)
train = Dataset.from_dict({n: [data.texts[i] for i in c] for n, c in columns.items()})
loss = NegativeSamplingLoss(
    model, sampler, gather_across_devices=together, **json.loads(options)
)
trainer = trainer_for(
    model, train, loss, Path(out), per_device_train_batch_size=int(rows), max_steps=4,
    learning_rate=0.01, max_grad_norm=0.0, optim="sgd", ddp_backend="gloo" if together else None,
)
trainer.add_callback(DifficultyCallback(loss, trainer, every=2))
trainer.train()
wrapped = type(trainer.model_wrapped).__name__
assert (wrapped == "DistributedDataParallel") == together, wrapped
torch.save([p.detach() for p in model.parameters()], out + ".weights")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "options"),
    [("random[k=2]", {}), ("text_dedup", {}), ("curriculum", {"mini_batch_size": 2})],
)
def test_two_processes_train_as_one_with_batches_of_twice_the_rows(
    tmp_path: Path, sampler: str, options: dict[str, int]
) -> None:
    root = Path(__file__).resolve().parents[3]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root / "tests")]),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "localhost",  # asked for, and not used: the processes meet at a file
        "MASTER_PORT": "1",
    }
    alone = {
        k: v
        for k, v in environment.items()
        if k not in ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    }
    places = [alone, *(environment | {"RANK": r, "LOCAL_RANK": r} for r in "01")]
    started = []
    for number, place in enumerate(places):
        given = [str(tmp_path / str(number)), str(tmp_path / "meet"), "4" if number else "8"]
        line = [sys.executable, "-c", TRAIN, *given, sampler, json.dumps(options)]
        started.append(
            subprocess.Popen(
                line, env=place, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
        )
    for process in started:
        error = process.communicate()[1]
        assert process.returncode == 0, error[-3000:]
    found = [torch.load(tmp_path / f"{n}.weights", weights_only=True) for n in range(3)]
    for one, first, second in zip(*found, strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(first, one, atol=1e-6, rtol=1e-5)
