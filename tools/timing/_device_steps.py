"""Trainings of a chosen size on a chosen device, made without a hub, a matrix file or a cell."""

import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from nsbench.benchmarks.augmentations import augmentations, bound
from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.encoders import Encoder, encoders
from nsbench.benchmarks.encoders._transformer import TransformerEncoder
from nsbench.benchmarks.encoders._vocabulary import word_tokenizer
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records.cell import Budget
from nsbench.benchmarks.runs.memory import ended_cells
from nsbench.benchmarks.seeds import seed_for
from nsbench.benchmarks.training.replay.capture import Captured
from nsbench.benchmarks.training.replay.side_by_side import in_turn
from nsbench.benchmarks.training.step import Method
from nsbench.benchmarks.training.train import Training
from nsbench.samplers import samplers
from tools.timing._trainer import trainer_stamps


@dataclass(frozen=True)
class Size:
    """A BERT of random weights.

    Attributes:
        name: What it is called.
        layers: Layers.
        width: Width.
        heads: Attention heads.
        inner: Width inside of a layer.
        words: Rows of the token table, BERT's own number of them; the texts have fewer words, but
            the optimizer moves all rows.
        rows: Planted pairs that it is trained on.
    """

    name: str
    layers: int
    width: int
    heads: int
    inner: int
    words: int = 30_522
    rows: int = 4096

    @property
    def weights(self) -> int:
        """Weights of the layers' products."""
        return self.layers * (4 * self.width**2 + 2 * self.width * self.inner)


@dataclass(frozen=True)
class Losses:
    """Losses of a short training.

    Attributes:
        losses: One of each step.
        replayed: Steps that were replayed.
    """

    losses: tuple[float, ...]
    replayed: int


@contextmanager
def no_waiting(device: torch.device) -> Iterator[None]:
    """Within, anything that waits for a CUDA device raises."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def synchronised(device: torch.device) -> float:
    """Wait for a device; seconds of a clock then."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@cache
def planted(rows: int) -> TrainingData:
    """Planted pairs."""
    return datasets.make("planted", rows=rows)()


def bert(size: Size, texts: Sequence[str], seed: int, tokens: int, dropout: float = 0.1) -> Encoder:
    """A BERT of random weights over the words of some texts."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=size.words,
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.inner,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(config, add_pooling_layer=False)
    tokenizer = word_tokenizer(texts, special_tokens=True, max_words=1024)
    return TransformerEncoder(model, tokenizer, pooling="mean", max_length=tokens, dropout=dropout)


def open_training(
    device: torch.device,
    size: Size,
    *,
    seed: int = 1,
    batch: int = 8,
    tokens: int = 16,
    steps: int = 1 << 20,
    encoder: str = "bert",
    sampler: str = "in_batch",
    pool: str = "in_batch",
    params: dict[str, Any] | None = None,
    view: str = "none",
    precision: str = "auto",
    dropout: float = 0.1,
    one_by_one: bool = False,
) -> Training:
    """A training before its first step, its texts cut to ``tokens`` tokens.

    ``one_by_one`` makes each step by the operations that are otherwise recorded.
    """
    data = planted(size.rows)
    if encoder == "bert":
        made = bert(size, data.texts, seed, tokens, dropout)
    else:
        made = encoders.make(encoder, dimension=size.width).build(data.texts, seed)
    augment = bound(augmentations.make(view), made)
    method = Method(
        sampler=samplers.make(sampler),
        objective=objectives.make("info_nce"),
        views=([augment], [augment]),
        pool=candidates.make(pool, **(params or {})),
        directions="both",
        budget=Budget(
            steps=steps,
            batch_size=batch,
            learning_rate=3e-5,
            max_length=tokens,
            precision=precision,
        ),
    )
    under = Training(
        made.to(device), data, method, device, seed_for=lambda purpose: seed_for(seed, purpose)
    )
    if one_by_one:
        under.run = under._run
    return under


def _trained(
    device: torch.device,
    size: Size,
    pass_on: Callable[[], None],
    *,
    steps: int = 40,
    guard: Callable[[torch.device], AbstractContextManager[None]] = lambda device: nullcontext(),
    **given: Any,
) -> Losses:
    under = open_training(device, size, steps=steps, **given)
    made = iter(under)
    while under.done < steps:
        # The probe and the end read numbers; the steps between must not.
        reads = under.measures.probe.due(under.done) or under.done < 4
        with nullcontext() if reads else guard(device):
            next(made)
        pass_on()
    losses = under.result().training["loss"]
    replayed = under.run.replayed if isinstance(under.run, Captured) else 0
    return Losses(tuple(losses), replayed)


def losses_of(device: torch.device, size: Size, **given: Any) -> Losses:
    """Train for a few steps, alone, on its own stream.

    Args:
        device: Where.
        size: Of the encoder.
        given: Passed to `open_training`; ``steps``; and ``guard``, a context for the steps behind
            the first few in which the probe is not measured.
    """
    found = in_turn([lambda pass_on: _trained(device, size, pass_on, **given)], device)[0]
    if isinstance(found, BaseException):
        raise found
    return found


def left_over(device: torch.device, size: Size) -> list[int]:
    """Bytes of tensors that are held after each of three trainings has ended."""
    found = []
    for seed in (1, 2, 3):
        losses_of(device, size, seed=seed, view="dropout", steps=16)
        if device.type == "cuda":
            ended_cells.free()
            found.append(torch.cuda.memory_allocated(device))
            continue
        gc.collect()  # as `free` does, and at once
        held = [x.untyped_storage() for x in gc.get_objects() if issubclass(type(x), torch.Tensor)]
        found.append(sum({s.data_ptr(): s.nbytes() for s in held}.values()))
    return found


def interleaved(
    device: torch.device, size: Size, seeds: Sequence[int], **given: Any
) -> list[Losses]:
    """The same of several seeds, side by side."""
    works = [
        lambda pass_on, seed=seed: _trained(device, size, pass_on, seed=seed, **given)
        for seed in seeds
    ]
    out = []
    for found in in_turn(works, device):
        if isinstance(found, BaseException):
            raise found
        out.append(found)
    return out


def trainer_seconds(
    device: torch.device, size: Size, batch: int, tokens: int, steps: int
) -> list[float]:
    """Seconds of each step of the sentence-transformers trainer with its in-batch loss.

    Raises:
        ImportError: If it, or what it needs, is not installed.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    data = planted(size.rows)
    made: Any = bert(size, data.texts, 1, tokens)
    with tempfile.TemporaryDirectory() as folder:
        made.model.save_pretrained(folder)
        made.tokenizer.save_pretrained(folder)
        layers = Transformer(folder, max_seq_length=tokens)
        model = SentenceTransformer(modules=[layers, Pooling(size.width)], device=str(device))
    stamps = trainer_stamps(
        model,
        [data.texts[i] for i in data.anchor],
        steps=steps,
        batch=batch,
        learning_rate=3e-5,
        bf16=device.type == "cuda",
        device=device,
    )
    warm = min(10, len(stamps) // 2)
    return [b - a for a, b in zip(stamps[warm:], stamps[warm + 1 :], strict=False)]
