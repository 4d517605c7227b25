"""Trained encoders as sentence-transformers folders: safetensors, and a card written from records.

Source: the folder layout of Reimers and Gurevych 2019, Sentence-BERT. https://arxiv.org/abs/1908.10084
"""

from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.nn import Linear

from nsbench.benchmarks.encoders import Encoder, _adapters
from nsbench.benchmarks.encoders._architecture import quietly
from nsbench.benchmarks.encoders._folder import POOLED_BY
from nsbench.benchmarks.encoders._prompts import DOCUMENT, QUERY
from nsbench.benchmarks.encoders._transformer import TransformerEncoder
from nsbench.benchmarks.encoders.static import StaticEncoder

POOLINGS = ("mean", "cls")


def to_sentence_transformer(encoder: Encoder, *, pooling: str = "") -> Any:
    """The encoder as a `SentenceTransformer` that gives the same embeddings.

    Args:
        encoder: A static table or a transformer.
        pooling: ``mean`` or ``cls`` in place of the encoder's own.

    Raises:
        ValueError: If sentence-transformers has no module for it.
        ModuleNotFoundError: If sentence-transformers is not installed.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "a sentence-transformers model needs sentence-transformers: pip install 'nsbench[st]'"
        ) from None
    if isinstance(encoder, StaticEncoder):
        if encoder.lengths:
            raise ValueError(
                f"lengths is {dict(encoder.lengths)!r}, and sentence-transformers has one length "
                "for a static table: train it without lengths to export it"
            )
        modules = [_static(encoder)]
    elif isinstance(encoder, TransformerEncoder):
        modules = _transformer(encoder, pooling or encoder.pooling)
    else:
        raise ValueError(
            f"{type(encoder).__name__} cannot be exported: sentence-transformers has a module for "
            "static tables and for transformers"
        )
    return SentenceTransformer(modules=modules, device="cpu", prompts=dict(encoder.prompts))


def _static(encoder: StaticEncoder) -> Any:
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    copy = Tokenizer.from_str(encoder.tokenizer.backend_tokenizer.to_str())
    copy.no_padding()
    copy.enable_truncation(max_length=encoder.max_length)
    table = encoder.table.detach().float().cpu().numpy()
    return StaticEmbedding(copy, embedding_weights=table)


def _transformer(encoder: TransformerEncoder, pooling: str) -> list[Any]:
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    modes = pooling.split("+")
    if not set(modes) <= set(POOLED_BY.values()):
        raise ValueError(
            f"the pooling {pooling} has no module in sentence-transformers; export with --pooling "
            f"{' or '.join(POOLINGS)}, and mind that its scores differ from the records"
        )
    own = encoder.pooling.split("+")
    if encoder.dense is not None and len(modes) != len(own):
        raise ValueError(
            f"the pooling {pooling} is not as wide as the encoder's own, {encoder.pooling}, on "
            "which its linear layers are built: export without --pooling"
        )
    whole, words = _adapters.whole_of(encoder.model), deepcopy(encoder.tokenizer)
    if whole.config.model_type == "deberta" and whole.dtype != torch.float32:
        whole = deepcopy(whole).float()  # others' code cannot read it in bfloat16
    if words.pad_token is None:  # a library that pads needs one; no mask ever lets it through
        words.pad_token = words.eos_token or words.unk_token or words.convert_ids_to_tokens(0)
    with TemporaryDirectory() as folder, quietly():
        whole.save_pretrained(folder, safe_serialization=True)
        words.save_pretrained(folder)
        body = Transformer(
            folder,
            model_kwargs={"use_safetensors": True, "trust_remote_code": False},
            processor_kwargs={"trust_remote_code": False},
            config_kwargs={"trust_remote_code": False},
            max_seq_length=encoder.max_length,
            query_length=encoder.lengths.get(QUERY),
            document_length=encoder.lengths.get(DOCUMENT),
        )
    if getattr(body.auto_model, "pooler", None) is not None:
        body.auto_model.pooler = None  # made anew at random, and never read
    width = int(encoder.model.config.hidden_size)
    return [body, Pooling(width, pooling_mode=tuple(modes)), *_dense(encoder)]


def _dense(encoder: TransformerEncoder) -> list[Any]:
    """The encoder's linear layers, each with its activation, as Dense modules."""
    from sentence_transformers.base.modules import Dense

    layers = [] if encoder.dense is None else list(encoder.dense)
    made = []
    for layer, activation in zip(layers[::2], layers[1::2], strict=True):
        assert isinstance(layer, Linear)
        module = Dense(
            layer.in_features,
            layer.out_features,
            bias=layer.bias is not None,
            activation_function=activation,
        )
        module.linear.load_state_dict(layer.state_dict())
        made.append(module)
    return made


def adapter_of(encoder: Encoder) -> Any:
    """The model whose adapter is all that training changed, ``None`` for any other encoder."""
    model = encoder.model if isinstance(encoder, TransformerEncoder) else None
    return model if model is not None and _adapters.base_of(model) else None


def base_of(encoder: Encoder) -> str:
    """Name or absolute folder of the base of an encoder's adapter; empty without one."""
    model = encoder.model if isinstance(encoder, TransformerEncoder) else None
    return "" if model is None else _adapters.base_of(model)


def save(model: Any, folder: Path, card: str, adapter: Any = None) -> None:
    """Save a `SentenceTransformer` as safetensors, with a card of ours.

    Args:
        model: The `SentenceTransformer`.
        folder: Where.
        card: Its card.
        adapter: Of `adapter_of`: the adapter is saved in place of the whole transformer.
    """
    with quietly():
        model.save(str(folder), safe_serialization=True, create_model_card=False)
        if adapter is not None:
            for path in (*folder.glob("model*.safetensors*"), folder / "config.json"):
                path.unlink()
            adapter.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").write_text(card, "utf-8")
