"""Tiny random models of many families, saved as folders, each with the answer that is right.

A new model is one line of `ZOO`: its name, what saves it, and the words of the refusal, which are
empty where the encoder has to equal sentence-transformers.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from made_data import beir, put

WORDS = (
    *("the", "a", "cat", "cats", "dog", "dogs", "boat", "boats", "sleeps", "barks", "crosses"),
    *("on", "under", "lake", "mat", "rain", "rains", "wide", "deep", "two", "three", "Two", "CAT"),
    *("never", "seen", "often", "with", "and"),
)
TEXTS = (
    "the cat sleeps on the mat",
    "a dog barks",
    "two boats cross the wide deep lake with three dogs and a cat under the rain often",
    "rain",
    "",
    "Two CAT never unheard",
    "the boats " * 9,
)


def tokenizer(pad: int = 0, cased: bool = False) -> Any:
    """A word tokenizer; its padding token has the id ``pad``."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    special.insert(pad, "[PAD]")
    ids = {word: i for i, word in enumerate(dict.fromkeys([*special, *WORDS]))}
    made = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=not cased)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(t, ids[t]) for t in ("[CLS]", "[SEP]")],
    )
    names = ("pad", "unk", "cls", "sep", "mask")
    given: dict[str, Any] = {f"{n}_token": f"[{n.upper()}]" for n in names}
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=64, **given)


def save_transformer(folder: Path, kind: str, *, pad: int = 0, **config: Any) -> Path:
    """A random model of one of transformers' families, and a tokenizer."""
    from transformers import AutoConfig, AutoModel

    words = tokenizer(pad, bool(config.pop("cased", False)))
    words.padding_side = config.pop("side", "right")
    sizes: dict[str, Any] = {
        "vocab_size": len(words),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64 + 2,
        "pad_token_id": pad,
        "bos_token_id": None,
        "eos_token_id": None,
        "initializer_range": 0.3,
    }
    made = AutoConfig.for_model(kind, **sizes | config)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModel.from_config(made)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def word_tokenizer(words: Iterable[str]) -> Any:
    """A tokenizer of the library below, over some words and no special ones but two."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    ids = {word: i for i, word in enumerate(dict.fromkeys(["[PAD]", "[UNK]", *words]))}
    made = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def word_table(words: Iterable[str], width: int) -> Any:
    """A StaticEmbedding of random rows for some words."""
    made = word_tokenizer(words)
    rows = np.random.default_rng(0).standard_normal((made.get_vocab_size(), width))
    return module("StaticEmbedding", tokenizer=made, embedding_weights=rows.astype(np.float32))


def save_cross_encoder(folder: Path, words: Iterable[str], classes: int = 1, **config: Any) -> Path:
    """A random model of pairs over some words, with one score or several classes."""
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    made = word_tokenizer(words)
    sizes = {"vocab_size": made.get_vocab_size(), "hidden_size": 16, "intermediate_size": 16}
    sizes |= {"num_hidden_layers": 1, "num_attention_heads": 2, "num_labels": classes}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertForSequenceClassification(BertConfig(**sizes, **config)).save_pretrained(folder)
    tokens = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    PreTrainedTokenizerFast(tokenizer_object=made, **tokens).save_pretrained(folder)
    return folder


def save_modules(folder: Path, *modules: Any, **settings: Any) -> Path:
    """A sentence-transformers folder of some modules."""
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(modules=list(modules), device="cpu", **settings).save(
        str(folder), create_model_card=False
    )
    return folder


def module(name: str, **given: Any) -> Any:
    """A module of sentence-transformers; random ones are drawn by a fixed seed."""
    from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding

    known = (Dense, Normalize, Pooling, Router, StaticEmbedding, Transformer)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return {cls.__name__: cls for cls in known}[name](**given)


def body(folder: Path, kind: str = "bert", **config: Any) -> Any:
    """A Transformer module of a random model."""
    place = folder.parent / f"{folder.name}-body"
    return module("Transformer", model_name_or_path=str(save_transformer(place, kind, **config)))


def edited(path: Path, **changes: Any) -> None:
    """Change keys of a JSON object in a file, which may not be there yet."""
    stated = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(stated | changes))


def plain(kind: str, **config: Any) -> Callable[[Path], object]:
    """Saves a model of transformers without any file of sentence-transformers."""
    return lambda folder: save_transformer(folder, kind, **config)


def pooled(*modes: str, kind: str = "bert", **config: Any) -> Callable[[Path], object]:
    """Saves a model with a Pooling module."""

    def save(folder: Path) -> None:
        pooling = module("Pooling", embedding_dimension=16, pooling_mode=modes)
        save_modules(folder, body(folder, kind, **config), pooling, module("Normalize"))

    return save


def dense(*sizes: int, **given: Any) -> Callable[[Path], object]:
    """Saves a BERT with a mean and linear layers."""

    def save(folder: Path) -> None:
        pairs = zip((16, *sizes), sizes, strict=False)
        layers = [module("Dense", in_features=a, out_features=b, **given) for a, b in pairs]
        save_modules(folder, body(folder), module("Pooling", embedding_dimension=16), *layers)

    return save


def changed(name: str, **changes: Any) -> Callable[[Path], object]:
    """Saves a BERT with a mean, and changes one of its files."""

    def save(folder: Path) -> None:
        cased = name == "sentence_bert_config.json"
        save_modules(folder, body(folder, cased=cased), module("Pooling", embedding_dimension=16))
        edited(folder / name, **changes)

    return save


def prompted(default: str | None, **prompts: str) -> Callable[[Path], object]:
    """Saves a BERT with a mean and prompts."""

    def save(folder: Path) -> None:
        modules = (body(folder), module("Pooling", embedding_dimension=16))
        save_modules(folder, *modules, prompts=prompts, default_prompt_name=default)

    return save


def router(folder: Path) -> None:
    """Saves a Router of two token tables."""
    routes = {"query": [table(1)], "document": [table(2)]}
    save_modules(folder, module("Router", sub_modules=routes, default_route="document"))


def table(seed: int = 1) -> Any:
    """A StaticEmbedding of random rows."""
    words = tokenizer().backend_tokenizer
    rows = torch.randn(words.get_vocab_size(), 8, generator=torch.Generator().manual_seed(seed))
    return module("StaticEmbedding", tokenizer=words, embedding_weights=rows)


def static_below(folder: Path) -> None:
    """Saves a token table whose files lie in a sub-folder, as sentence-transformers 3 did."""
    save_modules(folder, table(), module("Normalize"))
    listed = json.loads((folder / "modules.json").read_text())
    if listed[0]["path"] == "":
        (folder / "0_StaticEmbedding").mkdir()
        for name in ("model.safetensors", "tokenizer.json"):
            (folder / name).rename(folder / "0_StaticEmbedding" / name)
        listed[0]["path"] = "0_StaticEmbedding"
        (folder / "modules.json").write_text(json.dumps(listed))


def sparse(folder: Path) -> None:
    """Saves a SPLADE model."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import MLMTransformer, SpladePooling
    from transformers import BertConfig, BertForMaskedLM

    words, place = tokenizer(), folder.parent / f"{folder.name}-body"
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    BertForMaskedLM(config).save_pretrained(place)
    words.save_pretrained(place)
    SparseEncoder(modules=[MLMTransformer(str(place)), SpladePooling()], device="cpu").save(
        str(folder), create_model_card=False
    )


def multi_vector(folder: Path) -> None:
    """Saves a model of many vectors a text."""
    from sentence_transformers import MultiVectorEncoder

    place = save_transformer(folder.parent / f"{folder.name}-body", "bert")
    MultiVectorEncoder(str(place), device="cpu").save(str(folder), create_model_card=False)


def pairs(folder: Path) -> None:
    """Saves a cross-encoder."""
    from sentence_transformers import CrossEncoder

    place = save_transformer(folder.parent / f"{folder.name}-body", "bert")
    CrossEncoder(str(place), num_labels=1, device="cpu").save(str(folder))


def adapter(folder: Path, base: str = "", **changes: Any) -> None:
    """Saves the files of a LoRA adapter, written by hand: peft need not be installed."""
    from safetensors.torch import save_file

    base = base or str(save_transformer(folder.parent / f"{folder.name}-base", "bert"))
    folder.mkdir()
    rows = {
        "base_model.model.encoder.layer.0.attention.self.query.lora_A.weight": torch.ones(2, 16)
    }
    save_file(rows, folder / "adapter_model.safetensors")
    given = {"peft_type": "LORA", "base_model_name_or_path": base, "r": 2, "lora_alpha": 4}
    edited(folder / "adapter_config.json", **given | changes)
    tokenizer().save_pretrained(folder)


def lora(kind: str, *, of: str = "", **config: Any) -> Callable[[Path], object]:
    """Saves a random LoRA adapter of a random model, as peft does; ``of`` a class with a head."""

    def save(folder: Path) -> None:
        import transformers
        from peft import LoraConfig, get_peft_model

        base = save_transformer(folder.parent / f"{folder.name}-base", kind, **config)
        made = getattr(transformers, of) if of else transformers.AutoModel
        layers = ["q_proj", "v_proj"] if of else "all-linear"
        given = LoraConfig(r=2, lora_alpha=8, target_modules=layers, init_lora_weights=False)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            get_peft_model(made.from_pretrained(base), given).save_pretrained(folder)
        tokenizer().save_pretrained(folder)

    return save


def local_tasks(folder: Path) -> list[Any]:
    """A retrieval task and a task of pairs over the words of the made models."""
    from nsbench.benchmarks.evaluation.local_tasks import task_of_file

    kept = [t for t in TEXTS if t]
    judged = [f"q{i}\tc{(i * 5 + 1) % len(kept)}\t1\n" for i in range(len(kept))]
    search = beir(folder / "beir", [f"{t} mat" for t in kept], kept, test="".join(judged))
    both = ((x, y) for x in kept for y in kept if x < y)  # no two pairs that tie but for rounding
    lines = [f"{a},{b},{float((i * 7) % 5)}" for i, (a, b) in enumerate(both)]
    pairs = put(folder / "pairs.csv", "\n".join(["sentence1,sentence2,score", *lines]) + "\n")
    return [task_of_file(search), task_of_file(pairs)]


@dataclass(frozen=True)
class Entry:
    """One model.

    Attributes:
        name: Of the test.
        save: Writes it to a folder that is not there yet.
        refused: Words of the refusal; empty if the encoder has to equal sentence-transformers.
        encoder: The encoder that reads it.
        given: Its further parameters.
    """

    name: str
    save: Callable[[Path], object] = field(repr=False)
    refused: str = ""
    encoder: str = "transformer"
    given: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    @property
    def left(self) -> bool:
        """True if padding at the left changes nothing for sentence-transformers either.

        It moves absolute positions; here positions are those in the text.
        """
        return self.name.split(",")[0] in RELATIVE


RELATIVE = ("llama", "mistral", "qwen2", "qwen3", "gemma3", "embedding gemma", "eurobert", "t5",
            "mt5", "modernbert")  # fmt: skip
QWEN: dict[str, Any] = {"head_dim": 8, "num_key_value_heads": 1}
GEMMA: dict[str, Any] = QWEN | {
    "layer_types": ["sliding_attention", "full_attention"], "query_pre_attn_scalar": 8,
    "sliding_window": 32,
}  # fmt: skip
SMALL_BART = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
SMALL_T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
ZOO = (
    Entry("bert", plain("bert")),
    Entry("roberta", plain("roberta", pad=1)),
    Entry("xlm-roberta", plain("xlm-roberta", pad=1)),
    Entry("camembert", plain("camembert", pad=1)),
    Entry("mpnet", plain("mpnet", pad=1)),
    Entry("deberta", plain("deberta", position_biased_input=True)),
    Entry("deberta-v2", plain("deberta-v2", position_biased_input=True)),
    Entry("deberta-v3", plain("deberta-v2", position_biased_input=False, relative_attention=True)),
    Entry("deberta-narrow", plain("deberta-v2", embedding_size=8)),
    Entry("distilbert", plain("distilbert")),
    Entry("albert", plain("albert", embedding_size=8)),
    Entry("electra", plain("electra", embedding_size=8)),
    Entry("modernbert", plain("modernbert", cls_token_id=1, sep_token_id=2)),
    Entry("nomic-bert", plain("nomic_bert")),
    Entry("rembert", plain("rembert", input_embedding_size=12, output_embedding_size=20)),
    Entry("ernie", plain("ernie")),
    Entry("data2vec-text", plain("data2vec-text", pad=1)),
    Entry("mobilebert", plain("mobilebert", embedding_size=8, intra_bottleneck_size=8)),
    Entry("roformer", plain("roformer", embedding_size=16)),
    Entry("layoutlm", plain("layoutlm")),
    Entry("causal bert", plain("bert", is_decoder=True)),
    Entry("causal roberta", plain("roberta", pad=1, is_decoder=True)),
    Entry("gpt2", plain("gpt2")),
    Entry("llama", plain("llama")),
    Entry("llama, grouped heads", plain("llama", num_key_value_heads=1)),
    Entry("mistral", plain("mistral", num_key_value_heads=1, sliding_window=5)),
    Entry("qwen2", plain("qwen2", num_key_value_heads=1)),
    Entry("qwen3", plain("qwen3", **QWEN)),
    Entry("gemma3", plain("gemma3_text", **GEMMA)),
    Entry("gemma3, short window", plain("gemma3_text", **GEMMA | {"sliding_window": 4})),
    Entry("embedding gemma",
          plain("gemma3_text", **GEMMA, use_bidirectional_attention=True)),
    Entry("eurobert", plain("eurobert")),
    Entry("t5", plain("t5", **SMALL_T5)),
    Entry("mt5", plain("mt5", **SMALL_T5)),
    Entry("bart", plain("bart", **SMALL_BART), "an encoder with a decoder"),
    Entry("qwen3, last token", pooled("lasttoken", kind="qwen3", **QWEN)),
    Entry("qwen3, padded at the left", pooled("lasttoken", kind="qwen3", side="left", **QWEN)),
    Entry("gemma3, padded at the left", pooled("mean", kind="gemma3_text", side="left", **GEMMA)),
    *(
        Entry(f"pooling {'+'.join(modes)}", pooled(*modes))
        for modes in (
            ("mean",), ("cls",), ("max",), ("lasttoken",), ("weightedmean",),
            ("mean_sqrt_len_tokens",), ("cls", "mean"), ("lasttoken", "max", "weightedmean"),
        )
    ),
    Entry("causal, last token", pooled("lasttoken", is_decoder=True)),
    Entry("dense", dense(8)),
    Entry("dense twice", dense(24, 6)),
    Entry("dense without bias", dense(8, bias=False, activation_function=torch.nn.Identity())),
    Entry("dense of another kind", dense(8, activation_function=torch.nn.Softplus()),
          "legal: torch"),
    Entry("length 9", changed("tokenizer_config.json", model_max_length=9)),
    Entry("length 7", changed("sentence_bert_config.json", max_seq_length=7)),
    Entry("lower case", changed("sentence_bert_config.json", do_lower_case=True)),
    Entry("cased", changed("sentence_bert_config.json", do_lower_case=False)),
    Entry("cut at the left",
          changed("tokenizer_config.json", truncation_side="left", model_max_length=8)),
    Entry("fill-mask", changed("sentence_bert_config.json", transformer_task="fill-mask"),
          "transformer_task is 'fill-mask'"),
    Entry("length of no kind", changed("sentence_bert_config.json", max_seq_length="x"),
          "max_seq_length is 'x'"),
    Entry("dot", changed("config_sentence_transformers.json", similarity_fn_name="dot"),
          "similarity_fn_name is 'dot'"),
    Entry("prompts", prompted(None, query="two dogs ", document="a lake ")),
    Entry("empty default prompt", prompted("none", none="", query="a ")),
    Entry("default prompt", prompted("query", query="two dogs "), "default_prompt_name is 'query'"),
    Entry("router", router, "lists Router"),
    Entry("sparse", sparse, "SparseEncoder|SpladePooling|MLMTransformer"),
    Entry("multi-vector", multi_vector, "MultiVectorEncoder"),
    Entry("cross-encoder", pairs, "CrossEncoder|ForSequenceClassification"),
    Entry("adapter", lora("bert")),
    Entry("adapter of qwen3", lora("qwen3", **QWEN)),
    Entry("adapter of a model with a head", lora("qwen3", of="Qwen3ForCausalLM", **QWEN)),
    Entry("adapter that does not fit", adapter, "does not fit its base"),
    Entry("static as transformer", static_below, "holds a token table"),
    Entry("static in a sub-folder", static_below, "", "static"),
    Entry("static", lambda folder: save_modules(folder, table()), "", "static"),
)  # fmt: skip
