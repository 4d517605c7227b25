"""A folder's transformer, checked before anything is computed, and what its architecture can do.

Source: the configuration and model classes of transformers, Wolf et al. 2020.
https://aclanthology.org/2020.emnlp-demos.6
"""

import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nsbench.benchmarks.encoders._folder import ModelFolder, read_object, transformers_of
from nsbench.benchmarks.encoders._sources import SourceError
from nsbench.samplers import suggest

_WHOLE: tuple[tuple[tuple[str, ...], int, int], ...] = (
    (("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers"), 0, 1000),
    (("num_attention_heads", "n_heads", "n_head", "num_heads"), 1, 1024),
    (("num_key_value_heads",), 1, 1024),
    (("hidden_size", "dim", "d_model", "n_embd"), 1, 1 << 16),
    (("embedding_size", "input_embedding_size", "output_embedding_size"), 1, 1 << 16),
    (("intermediate_size", "hidden_dim", "n_inner"), 1, 1 << 20),
    (("vocab_size",), 1, 10**7),
    (("max_position_embeddings", "n_positions"), -1, 10**7),
    (("type_vocab_size",), 0, 10**4),
)
"""Sizes of a configuration, with the range in which a model is no mistake."""
_REALS = ("layer_norm_eps", "initializer_range", "hidden_dropout_prob", "dropout")
_MAY_BE_NULL = ("embedding_size", "num_key_value_heads", "n_inner")


class _Enough(Exception):
    """Raised by a hook to leave a forward pass once the embedding layer has run."""


def check_config(path: Path, stated: Mapping[str, Any]) -> None:
    """Refuse a ``config.json`` whose sizes have another type, or are absurd.

    Raises:
        SourceError: With the key, its value and the legal range.
    """
    if not stated:
        raise SourceError(f"{path} is missing or empty: the folder holds no transformer")
    for keys, low, high in _WHOLE:
        for key in keys:
            value = stated.get(key, low)
            if value is None and key in _MAY_BE_NULL:
                continue
            if type(value) is not int or not low <= value <= high:
                legal = f"a whole number from {low} to {high}"
                raise SourceError(f"{path}: {key} is {value!r}; legal: {legal}")
    for key in _REALS:
        value = stated.get(key, 0.0)
        if type(value) not in (int, float) or not 0 <= value < math.inf:
            raise SourceError(f"{path}: {key} is {value!r}; legal: a number >= 0")
    kind = stated.get("model_type")
    if not isinstance(kind, str):
        raise SourceError(f"{path}: model_type is {kind!r}; legal: a text, such as 'bert'")


def refuse_odd(folder: Path) -> None:
    """Check the configuration of every transformer of a folder, before a library reads it.

    Raises:
        SourceError: As `check_config`.
    """
    for place in transformers_of(folder):
        if not (place / "adapter_config.json").is_file():
            check_config(place / "config.json", read_object(place / "config.json"))


def read_config(folder: ModelFolder, layers: int) -> Any:
    """The configuration of a folder's transformer, with its lower layers only.

    Args:
        folder: The folder.
        layers: Layers kept; -1 for all.

    Raises:
        SourceError: If it cannot be used.
    """
    from transformers import CONFIG_MAPPING, AutoConfig
    from transformers.activations import ACT2FN

    path = folder.body / "config.json"
    check_config(path, folder.config)
    kind = folder.config["model_type"]
    if kind not in CONFIG_MAPPING:
        raise SourceError(f"{path}: model_type is {kind!r}. {suggest(kind, CONFIG_MAPPING)}")
    try:
        config = AutoConfig.from_pretrained(
            folder.body, local_files_only=True, trust_remote_code=False
        )
        act = getattr(config, "hidden_act", "gelu")
        there = int(getattr(config, "num_hidden_layers", 0))
    except Exception as error:  # any that a library raises for a file that a user named
        raise SourceError(f"{path} cannot be used: {said(error)}") from None
    if not isinstance(act, str) or act not in ACT2FN:
        raise SourceError(f"{path}: hidden_act is {act!r}; legal: {', '.join(sorted(ACT2FN))}")
    if layers > there:
        raise SourceError(f"transformer: layers = {layers}, but {folder.body} has {there}")
    if layers >= 0:
        config.num_hidden_layers = layers
    return config


def load_body(folder: ModelFolder, config: Any, *, device: str) -> Any:
    """The transformer of a folder in float32.

    Args:
        folder: The folder.
        config: Of `read_config`.
        device: ``meta`` for a model without weights, of which the names and shapes are compared
            with the stored ones all the same (if accelerate is installed).

    Raises:
        SourceError: If it cannot be made, or weights are missing or have other shapes.
    """
    from transformers import AutoModel

    meta = device == "meta"
    if not any(folder.body.glob("*.safetensors")):
        raise SourceError(f"{folder.body} has no .safetensors; pickled weights are never loaded")
    try:
        if meta and importlib.util.find_spec("accelerate") is None:
            with torch.device("meta"):
                return AutoModel.from_config(config, trust_remote_code=False)
        model, info = AutoModel.from_pretrained(
            folder.body,
            config=config,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            **({"device_map": "meta"} if meta else {}),
        )
    except Exception as error:  # any that a library raises for files that a user named
        raise SourceError(f"{folder.body} cannot be loaded: {said(error)}") from None
    missing = sorted(n for n in info["missing_keys"] if not n.startswith("pooler."))
    if missing:
        raise SourceError(
            f"{folder.body}: {len(missing)} weights that its config.json asks for are not stored, "
            f"such as {missing[0]}"
        )
    return model


def read_tokenizer(body: Path) -> Any:
    """The fast tokenizer of a folder.

    Raises:
        SourceError: If it has none.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            body, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # any that a library raises for files that a user named
        raise SourceError(f"the tokenizer of {body} cannot be loaded: {said(error)}") from None
    if not getattr(tokenizer, "is_fast", False):
        raise SourceError(
            f"{body} has the tokenizer {type(tokenizer).__name__}, which is no fast one: save a "
            "tokenizer.json with it"
        )
    return tokenizer


def lower_cased(tokenizer: Any) -> None:
    """Put lower-casing before a tokenizer's own rules, as ``do_lower_case`` of a folder asks."""
    from tokenizers import normalizers

    backend = tokenizer.backend_tokenizer
    own = backend.normalizer
    first: list[Any] = [normalizers.Lowercase()]
    backend.normalizer = normalizers.Sequence(first if own is None else [*first, own])


def said(error: Exception) -> str:
    """The type and the words of an exception of a library, in one line of at most 300 letters."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"


def embedding_layer(model: Any) -> nn.Module:
    """The module in whose output augmentations act.

    Raises:
        SourceError: If the model has none.
    """
    embeddings = getattr(model, "embeddings", None)
    if not isinstance(embeddings, nn.Module) or model.config.is_encoder_decoder:
        raise SourceError(
            f"{type(model).__name__} has no `embeddings` module, in whose output augmentations "
            "act; encoders of the BERT, RoBERTa, MPNet, DistilBERT, ELECTRA and ModernBERT "
            "families have one"
        )
    return embeddings


def embedding_width(model: Any) -> int:
    """Width of the embedding layer's output, read from a pass of two tokens that ends there.

    Raises:
        SourceError: If the layer gives no ``(B, L, d)``.
    """
    found: list[Tensor] = []

    def leave(module: nn.Module, given: object, out: Tensor) -> None:
        found.append(out)
        raise _Enough

    hook = embedding_layer(model).register_forward_hook(leave)
    device = next(model.parameters()).device
    ids = torch.zeros((1, 2), dtype=torch.int64, device=device)
    try:
        with torch.no_grad():
            model(input_ids=ids, attention_mask=torch.ones_like(ids))
    except _Enough:
        pass
    except Exception as error:  # any that a model of a library raises
        raise SourceError(f"{type(model).__name__} cannot run: {said(error)}") from None
    finally:
        hook.remove()
    if not found or not isinstance(found[0], Tensor) or found[0].dim() != 3:
        raise SourceError(
            f"the `embeddings` module of {type(model).__name__} gives no (texts, tokens, width)"
        )
    return int(found[0].shape[2])


def attends_to_all(model: Any) -> bool:
    """True if every token attends to all tokens of its text, and to nothing else."""
    config = model.config
    if getattr(config, "is_decoder", False) or getattr(config, "add_cross_attention", False):
        return False
    return not any(
        getattr(module, "is_causal", False) or getattr(module, "sliding_window", None)
        for module in model.modules()
    )
