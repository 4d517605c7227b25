"""A folder's transformer, checked before anything is computed, and what its architecture can do.

Source: the configuration and model classes of transformers, Wolf et al. 2020.
https://aclanthology.org/2020.emnlp-demos.6
"""

import importlib.util
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nsbench.benchmarks.encoders._folder import ModelFolder, transformers_of
from nsbench.benchmarks.encoders._settings import read_object
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

ENCODERS_OF = {
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
    "umt5": "UMT5EncoderModel",
    "longt5": "LongT5EncoderModel",
}
"""Kinds of models of encoder and decoder, and the class that is the encoder alone."""
PACKED = ("bert", "camembert", "electra", "roberta", "xlm-roberta")
"""Families that mix tokens in attention alone, each token with all others."""
PACKED_ROTARY = ("eurobert", "gemma3_text", "llama", "mistral", "qwen2", "qwen3")
"""Families that mix tokens in attention alone, by rotary positions; most are causal."""
UNLIMITED = 1 << 30


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
    if "text_config" in folder.config and "hidden_size" not in folder.config:
        raise SourceError(f"{path}: model_type is {kind!r}, a model of more than texts")
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
        for name, value in list(vars(config).items()):  # such as the kind of attention of each
            if "layer" in name and isinstance(value, list) and len(value) == there:
                setattr(config, name, value[:layers])
    return config


def class_of(config: Any) -> Any:
    """The class of transformers that makes and loads a model: of a T5, its encoder alone.

    Raises:
        SourceError: For a model of encoder and decoder whose encoder is not loaded alone.
    """
    import transformers

    kind = str(config.model_type)
    if kind in ENCODERS_OF:
        return getattr(transformers, ENCODERS_OF[kind])
    if getattr(config, "is_encoder_decoder", False):
        raise SourceError(
            f"model_type is {kind!r}, an encoder with a decoder; the encoder is loaded alone of "
            f"{', '.join(ENCODERS_OF)}"
        )
    return transformers.AutoModel


def fresh(config: Any, dtype: torch.dtype = torch.float32) -> Any:
    """A model with random weights, drawn from torch's own generator."""
    made = class_of(config)
    if hasattr(made, "from_config"):
        return made.from_config(config, trust_remote_code=False).to(dtype)
    return made(config).to(dtype)


def load_body(
    folder: ModelFolder, config: Any, *, device: str, dtype: torch.dtype = torch.float32
) -> Any:
    """The transformer of a folder.

    Args:
        folder: The folder.
        config: Of `read_config`.
        device: ``meta`` for a model without weights, of which the names and shapes are compared
            with the stored ones all the same (if accelerate is installed).
        dtype: Of its weights.

    Raises:
        SourceError: If it cannot be made, or weights are missing or have other shapes.
    """
    meta = device == "meta"
    if not any(folder.body.glob("*.safetensors")):
        raise SourceError(f"{folder.body} has no .safetensors; pickled weights are never loaded")
    try:
        if meta and importlib.util.find_spec("accelerate") is None:
            with torch.device("meta"):
                return fresh(config, dtype)
        model, info = class_of(config).from_pretrained(
            folder.body,
            config=config,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            dtype=dtype,
            output_loading_info=True,
            **({"device_map": "meta"} if meta else {}),
        )
    except SourceError:
        raise
    except Exception as error:  # any that a library raises for files that a user named
        raise SourceError(f"{folder.body} cannot be loaded: {said(error)}") from None
    missing = sorted(n for n in info["missing_keys"] if not n.startswith("pooler."))
    if missing:
        raise SourceError(
            f"{folder.body}: {len(missing)} weights that its config.json asks for are not stored, "
            f"such as {missing[0]}"
        )
    for weight in model.parameters():  # DeBERTa makes some biases in float32, whatever is asked
        weight.data = weight.data.to(dtype)
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
    """The module in whose output augmentations act: all embeddings, or else those of tokens.

    Raises:
        SourceError: If the model has none.
    """
    embeddings = getattr(model, "embeddings", None)
    if isinstance(embeddings, nn.Module):
        return embeddings
    tokens = getattr(getattr(model, "encoder", None), "embed_tokens", None)  # a T5
    try:
        layer = model.get_input_embeddings() if tokens is None else tokens
    except (NotImplementedError, AttributeError):
        layer = None
    if not isinstance(layer, nn.Module):
        raise SourceError(
            f"{type(model).__name__} has no layer of token embeddings, in whose output "
            "augmentations act"
        )
    return layer


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
            f"the embedding layer of {type(model).__name__} gives no (texts, tokens, width)"
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


def longest_packed(model: Any) -> int:
    """Tokens of the longest text that may lie end to end with others; 0 if texts must be padded.

    Only attention may mix the tokens of such a model, all tokens of a text or, if it is causal,
    those before: its own kind of attention is kept within each text. A sliding window changes
    nothing for texts that fit into it.
    """
    config = model.config
    kind = str(getattr(config, "model_type", ""))
    if kind in PACKED:
        return UNLIMITED if attends_to_all(model) else 0
    if kind not in PACKED_ROTARY or not getattr(config, "is_causal", True):
        return 0
    windows = [getattr(m, "sliding_window", None) for m in (config, *model.modules())]
    return min((int(w) for w in windows if w), default=UNLIMITED)


def dropout_rates(model: Any) -> list[tuple[nn.Module, str, float]]:
    """Modules that hold a rate of dropout as a number, with the attribute and its value."""
    return [
        (module, name, float(getattr(module, name)))
        for module in model.modules()
        for name in ("attention_dropout", "dropout")
        if type(getattr(module, name, None)) in (float, int)
    ]


@contextmanager
def quietly() -> Iterator[None]:
    """Silence transformers' notes on weights of the layers that were cut off on purpose."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            with warnings.catch_warnings():  # huggingface_hub's own bars may be off by its variable
                warnings.simplefilter("ignore")
                logging.enable_progress_bar()
