"""Any Hugging Face encoder or sentence-transformers folder, whole or its lower layers.

Source: sentence embeddings by pooling a transformer, Reimers and Gurevych 2019, Sentence-BERT,
section 3. https://arxiv.org/abs/1908.10084
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import nn

from nsbench.benchmarks.augmentations import TokenView
from nsbench.benchmarks.encoders import (
    _adapters,
    _architecture,
    _folder,
    _identity,
    _trainable,
    register,
)
from nsbench.benchmarks.encoders._architecture import quietly
from nsbench.benchmarks.encoders._pooling import dense_layers
from nsbench.benchmarks.encoders._prompts import check_lengths, check_prompts, fitting_lengths
from nsbench.benchmarks.encoders._sources import SourceError, locate
from nsbench.benchmarks.encoders._transformer import TransformerEncoder
from nsbench.samplers import Choice, Interval
from nsbench.samplers._cache import cached

ARITHMETIC = 4
"""2: texts end to end on a CPU, without padding. 3: without gradient there, linear layers by oneDNN
and attention of short texts as products. 4: linear layers by oneDNN where it trains in float32."""
HEADS = ("none", "mlp")
POOLINGS = ("auto", "mean", "cls", "lasttoken", "last2_mean")
WEIGHTS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@register("transformer")
class Transformer:
    """A Hugging Face encoder or sentence-transformers folder, by name or path.

    Args:
        source: Folder or hub name, also of a LoRA adapter, which is merged into its base.
        pooling: ``auto`` (what the folder says, any mode of sentence-transformers, else the last
            token of a causal language model and the mean of others), ``mean``, ``cls``,
            ``lasttoken`` or ``last2_mean``.
        layers: Lower layers kept, >= 0; -1 for all.
        max_length: Longest text in tokens; 0 for the model's own, at most 512.
        dropout: Dropout rate left on in every training view that does not set its own, [0, 1).
        revision: Hub revision; empty for the main branch.
        head: ``mlp`` for SimCSE's linear layer and tanh above the pooled embedding, which the
            contrastive loss, the candidates and the difficulty statistics see, and which is left
            off when the encoder is scored; ``none``.
        lora: Settings of a low-rank adapter that is trained in place of the weights, such as
            ``{ r = 16, alpha = 32, targets = ["q_proj", "v_proj"], layers = [0, 1] }``; empty for
            none. See `_adapters.Lora`.
        train: ``all`` weights; those of the ``top N`` layers and what follows them; or patterns of
            names of weights, such as ``*bias* norm.*``. The others stay as they are.
        weights: ``fp32``, or ``bf16`` for half the memory; adapters stay in float32.
        checkpointing: Whether layers are computed again in the backward pass, for less memory.
        prompts: Put before texts by role, ``{ query = "query: ", document = "passage: " }``, by
            data set, ``"scifact-query"``, or by task of the evaluation, ``STS``; anchors are
            queries, all candidates documents. Never a part of what a text is compared by.
        lengths: Longest text in tokens by role, ``{ query = 64, document = 512 }``, in training,
            mining, evaluation and export; empty for what the folder says, or ``max_length`` alone.
    """

    source: str
    pooling: Annotated[str, Choice(*POOLINGS)] = "auto"
    layers: Annotated[int, Interval("[-1, 1000]")] = -1
    max_length: Annotated[int, Interval("[0, 100000]")] = 0
    dropout: Annotated[float, Interval("[0, 1)")] = 0.0
    revision: str = ""
    head: Annotated[str, Choice(*HEADS)] = "none"
    lora: Mapping[str, Any] = field(default_factory=dict, hash=False)
    train: str = "all"
    weights: Annotated[str, Choice(*WEIGHTS)] = "fp32"
    checkpointing: bool = False
    prompts: Annotated[Mapping[str, str], check_prompts] = field(default_factory=dict, hash=False)
    lengths: Annotated[Mapping[str, int], check_lengths] = field(default_factory=dict, hash=False)

    arithmetic: ClassVar[int] = ARITHMETIC
    younger: ClassVar[frozenset[str]] = frozenset(
        {"lora", "train", "weights", "checkpointing", "prompts", "lengths"}
    )

    def __post_init__(self) -> None:
        _trainable.check("transformer", self.train, self.checkpointing)
        if _adapters.lora_of(self.lora) and self.train != "all":
            raise ValueError(
                f"transformer: train is {self.train!r}, but with lora the adapter alone is "
                "trained; choose its layers by lora.targets and lora.layers"
            )

    def check(self) -> None:
        """Make the encoder without its weights: what it refuses, no cell will try."""
        _checked(self, self.fingerprint())

    def fingerprint(self) -> str:
        return _identity.identity(self._place())

    def build(self, corpus: Sequence[str], seed: int) -> TransformerEncoder:
        return self._made(seed, "cpu")

    def own_pooling(self) -> str:
        """The pooling that an encoder of these parameters has, such as ``cls+mean``."""
        return _own_pooling(self, self.fingerprint())

    def sees_positions(self) -> bool:
        """Return True if position ids change what the model computes."""
        return _sees_positions(self, self.fingerprint())

    def drops(self) -> bool:
        """Return True if the model has a dropout that a rate could switch on."""
        return _checked(self, self.fingerprint())[0]

    def own_dimension(self) -> int:
        """Return the length of its embeddings."""
        return _checked(self, self.fingerprint())[1]

    def _place(self) -> Path:
        return locate(self.source, self.revision or None)

    def _pooling(self, folder: _folder.ModelFolder) -> str:
        if self.pooling != "auto":
            return self.pooling
        return folder.pooling or _folder.usual_pooling(folder.config)

    def _base(self, folder: _folder.ModelFolder) -> str:
        """Base that an adapter names; empty where no disk holds it as it is here."""
        if self.layers >= 0 or folder.adapter is not None or self.revision:
            return ""
        here = Path(self.source).expanduser()
        return str(folder.body.resolve()) if here.is_dir() else self.source

    def _made(self, seed: int, device: str) -> TransformerEncoder:
        folder = _folder.read_folder(self._place())
        config = _architecture.read_config(folder, self.layers)
        pooling = self._pooling(folder)
        if pooling == "last2_mean" and config.num_hidden_layers < 1:
            raise ValueError("transformer: last2_mean needs at least one layer")
        with quietly():
            model = _architecture.load_body(
                folder, config, device=device, dtype=WEIGHTS[self.weights]
            )
            if folder.adapter is not None:
                model = _adapters.merged(model, folder.adapter, cut=self.layers >= 0)
        tokenizer = _architecture.read_tokenizer(folder.words)
        if folder.lower_case:
            _architecture.lower_cased(tokenizer)
        longest = int(getattr(config, "max_position_embeddings", 512) or 512)
        longest = longest if longest > 0 else 512  # -1 stands for "no limit"
        wide = int(config.hidden_size) * len(pooling.split("+"))
        encoder = TransformerEncoder(
            model,
            tokenizer,
            pooling=pooling,
            max_length=self.max_length or min(folder.max_length or 512, longest, 512),
            dropout=self.dropout,
            dense=dense_layers(folder.dense, wide, device=device),
        )
        if self.dropout and not encoder.drops:
            raise SourceError(
                f"transformer: dropout is {self.dropout:g}, but {type(model).__name__} has none"
            )
        encoder.prompts = folder.check_prompts(self.prompts)
        lengths = self.lengths or {r: min(n, encoder.max_length) for r, n in folder.lengths.items()}
        encoder.lengths = fitting_lengths("transformer", lengths, encoder.max_length)
        _trainable.choose(encoder, self.train)
        if lora := _adapters.lora_of(self.lora):
            _adapters.add(encoder, lora, seed, base=self._base(folder))
        if self.checkpointing:
            encoder.compute_again()
        if self.head == "mlp" and device != "meta":
            encoder.head = _mlp(config, encoder.dimension, seed)
        return encoder


@cached(64)
def _checked(spec: Transformer, fingerprint: str) -> tuple[bool, int]:
    """Check a spec once for each content of its folder: has it a dropout, how long are rows?"""
    made = spec._made(0, "meta")
    return made.drops, made.dimension


@cached(64)
def _own_pooling(spec: Transformer, fingerprint: str) -> str:
    """Pooling that a spec has, read once for each content of its folder."""
    return spec._pooling(_folder.read_folder(spec._place()))


@cached(64)
def _sees_positions(spec: Transformer, fingerprint: str) -> bool:
    """Compare states under two orders of the positions, of a random model of one layer.

    An architecture without positions, or one that knows only the distances between tokens in a
    row, gives the same states for all orders of the ids.
    """
    folder = _folder.read_folder(spec._place())
    config = _architecture.read_config(folder, spec.layers)
    if config.num_hidden_layers > 1 and not getattr(config, "layer_types", None):
        config.num_hidden_layers = 1
    with quietly(), torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = _architecture.fresh(config)
        if "position_ids" not in inspect.signature(model.forward).parameters:
            return False
        encoder = TransformerEncoder(model, None, pooling="max", max_length=8, dropout=0.0)
        ids = torch.arange(4)[None] % int(config.vocab_size)
        order, mask = torch.arange(4)[None], torch.ones((1, 4), dtype=torch.bool)
        plain = TokenView(ids=ids, mask=mask, positions=order, width=encoder.width)
        shuffled = plain.replace(positions=order[:, [2, 0, 3, 1]])
        return not torch.equal(encoder._padded(plain), encoder._padded(shuffled))


def _mlp(config: Any, width: int, seed: int) -> nn.Module:
    """A linear layer, initialised as the model's own are, and tanh.

    Source: Gao et al. 2021, SimCSE, as released (``mlp_only_train``).
    https://aclanthology.org/2021.emnlp-main.552
    """
    layer = nn.Linear(width, width)
    generator = torch.Generator().manual_seed(seed)
    spread = float(getattr(config, "initializer_range", 0.02))
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * spread)
        layer.bias.zero_()
    return nn.Sequential(layer, nn.Tanh())
