"""Any Hugging Face encoder or sentence-transformers folder, whole or its lower layers.

Source: sentence embeddings by pooling a transformer, Reimers and Gurevych 2019, Sentence-BERT,
section 3. https://arxiv.org/abs/1908.10084
"""

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake

from nsbench.benchmarks.augmentations import TokenView
from nsbench.benchmarks.encoders import Encoder, _sources, masked_mean, register
from nsbench.benchmarks.encoders._attention import use_float32_on_cpu
from nsbench.samplers import in_range, one_of

BLOCK = 16
"""Rows that go through a transformer together on a CPU."""
POOLINGS = ("auto", "mean", "cls", "last2_mean")


class TransformerEncoder(Encoder):
    """A transformer whose embedding-layer output can be scaled and shifted, then pooled.

    Args:
        model: A ``PreTrainedModel`` with an ``embeddings`` module.
        tokenizer: Its fast tokenizer.
        pooling: ``mean`` of the last layer's tokens, ``cls`` its first token, ``last2_mean`` the
            mean over tokens of the average of the last two layers (ConSERT's evaluation).
        max_length: Longest text in tokens.
        dropout: Dropout rate of views that do not set their own.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, pooling: str, max_length: int, dropout: float
    ):
        super().__init__()
        embeddings = getattr(model, "embeddings", None)
        if not isinstance(embeddings, nn.Module):
            raise ValueError(
                f"{type(model).__name__} has no `embeddings` module, in whose output augmentations "
                "act; encoders of the BERT, RoBERTa, MPNet, DistilBERT, ELECTRA and ModernBERT "
                "families have one"
            )
        if getattr(model, "pooler", None) is not None:
            model.pooler = None  # an untrained head that pooling by hand never reads
        self.model = model
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.max_length = max_length
        self.dropout = dropout
        self.dimension = int(model.config.hidden_size)
        self.width = int(getattr(model.config, "embedding_size", 0) or self.dimension)
        self.has_positions = "position_ids" in inspect.signature(model.forward).parameters
        padding = getattr(embeddings, "padding_idx", None)
        self._first_position = 0 if padding is None else int(padding) + 1
        table = getattr(embeddings, "position_embeddings", None)
        if isinstance(table, nn.Embedding):  # RoBERTa's first positions are never a token's
            self.max_length = min(max_length, table.num_embeddings - self._first_position)
        self._view: TokenView | None = None
        embeddings.register_forward_hook(self._augment)
        self._dropouts = [m for m in model.modules() if isinstance(m, nn.Dropout)]

    def _augment(self, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        view = self._view
        if view is None:
            return output
        if view.scale is not None:
            output = output * view.scale.to(output.dtype)
        if view.shift is not None:
            output = output + view.shift.to(output.dtype)
        return output

    @contextmanager
    def _under(self, view: TokenView) -> Iterator[None]:
        rate = self.dropout if view.dropout is None else view.dropout
        for layer in self._dropouts:
            layer.p = rate
        self.model.train(rate > 0)
        self._view = view
        try:
            yield
        finally:
            self._view = None

    def forward(self, view: TokenView) -> Tensor:
        """``(B, d)`` pooled embeddings of a view.

        On a CPU the rows go through in blocks of like length, which saves the padding between
        them and changes nothing else; a device must not be waited for, so there they go at once.
        """
        if view.ids.device.type != "cpu" or is_fake(view.ids) or len(view.ids) < 2 * BLOCK:
            return self._pooled(view)
        lengths = view.lengths
        order = lengths.argsort(stable=True)
        # One look-up for all blocks: each would fill a gradient as large as the vocabulary.
        words = self.model.get_input_embeddings()(view.ids[order])
        blocks = []
        for start in range(0, len(order), BLOCK):
            rows = order[start : start + BLOCK]
            longest = int(lengths[rows[-1]])
            block = words[start : start + BLOCK, :longest]
            blocks.append(self._pooled(view.take(rows, longest), block))
        return torch.cat(blocks)[order.argsort()]

    def _pooled(self, view: TokenView, words: Tensor | None = None) -> Tensor:
        """``(B, d)`` pooled embeddings, from the ids or from their ``(B, L, w)`` word vectors."""
        more: dict[str, Tensor] = {}
        if self.has_positions:
            more["position_ids"] = view.positions + self._first_position
        with self._under(view):
            out = self.model(
                input_ids=view.ids if words is None else None,
                inputs_embeds=words,
                attention_mask=view.mask.long(),
                output_hidden_states=self.pooling == "last2_mean",
                **more,
            )
        if self.pooling == "cls":
            first: Tensor = out.last_hidden_state[:, 0]
            return first
        tokens = self.averaged(view)
        if self.pooling == "last2_mean":
            return masked_mean((out.hidden_states[-1] + out.hidden_states[-2]) / 2, tokens)
        return masked_mean(out.last_hidden_state, tokens)


@register("transformer")
@dataclass(frozen=True)
class Transformer:
    """A Hugging Face encoder or sentence-transformers folder, by name or path.

    Args:
        source: Folder or hub name.
        pooling: ``auto`` (what the folder says, else mean), ``mean``, ``cls`` or ``last2_mean``.
        layers: Lower layers kept, >= 0; -1 for all.
        max_length: Longest text in tokens; 0 for the model's own, at most 512.
        dropout: Dropout rate left on in every training view that does not set its own, [0, 1).
        revision: Hub revision; empty for the main branch.
    """

    source: str
    pooling: str = "auto"
    layers: int = -1
    max_length: int = 0
    dropout: float = 0.0
    revision: str = ""

    def __post_init__(self) -> None:
        one_of("transformer", "pooling", self.pooling, POOLINGS)
        in_range("transformer", "layers", self.layers, -1, 1000)
        in_range("transformer", "max_length", self.max_length, 0, 100_000)
        in_range("transformer", "dropout", self.dropout, 0, 1, open_high=True)

    def check(self) -> None:
        from transformers import AutoConfig

        folder = _sources.locate(self.source, self.revision or None)
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        there = int(getattr(config, "num_hidden_layers", 0))
        if self.layers > there:
            raise ValueError(f"transformer: layers = {self.layers}, but {self.source} has {there}")
        if self.pooling == "last2_mean" and min(there, self.layers % (there + 1)) < 1:
            raise ValueError("transformer: last2_mean needs at least one layer")

    def fingerprint(self) -> str:
        return _sources.fingerprint(_sources.locate(self.source, self.revision or None))

    def build(self, corpus: Sequence[str], seed: int) -> TransformerEncoder:
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        folder = _sources.locate(self.source, self.revision or None)
        saved = _sources.saved_settings(folder)
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if self.layers >= 0:
            config.num_hidden_layers = self.layers
        with quietly():
            model = AutoModel.from_pretrained(
                folder,
                config=config,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
            )
        use_float32_on_cpu(model)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        longest = int(getattr(config, "max_position_embeddings", 512) or 512)
        return TransformerEncoder(
            model,
            tokenizer,
            pooling=(saved.pooling or "mean") if self.pooling == "auto" else self.pooling,
            max_length=self.max_length or min(saved.max_length or 512, longest, 512),
            dropout=self.dropout,
        )


@contextmanager
def quietly() -> Iterator[None]:
    """Silence transformers' notes on weights of the layers that were cut off on purpose."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()
