"""Any model by name or folder, identified by its content.

Two folders of one name are two models, and a copy of a folder is the same model: caches and results
identify a model by a hash over its weights, tokenizer and settings.

Source: the files of a sentence-transformers folder, Reimers and Gurevych 2019, Sentence-BERT.
https://arxiv.org/abs/1908.10084
"""

import importlib.util
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.encoders import Encoder, _sources, encode_texts, encoders
from nsbench.benchmarks.encoders._architecture import quietly, refuse_odd, said
from nsbench.benchmarks.encoders._folder import (
    modules_of,
    read_folder,
    refuse_foreign,
    refuse_other_kinds,
)
from nsbench.benchmarks.encoders._identity import identity
from nsbench.benchmarks.encoders._settings import read_object
from nsbench.benchmarks.encoders.progress import embedded
from nsbench.samplers import parse_choice, suggest

Embeddings = NDArray[np.float32]
ROLES = ("", "query", "document")
ST_FLOOR = (6, 0)
"""Oldest sentence-transformers: from 6.0 on it runs no class that a folder names but its own."""


@dataclass(frozen=True, eq=False)
class TextModel:
    """A model in memory.

    Attributes:
        name: Its hub name, ``local/<folder>`` or ``nsbench/<encoder>``.
        revision: 40 hex digits over weights, tokenizer and settings.
        dimension: d.
        how: Further things that decide an embedding: the library and the longest text.
        run: Texts, role and prompt to ``(n, d)`` float32, not normalised.
        prompts: Named prompts of the model; some may be empty.
        loaded: The model itself, a `SentenceTransformer` or an `Encoder`.
        symmetric: True if queries and documents are encoded alike, except for a given prompt.
    """

    name: str
    revision: str
    dimension: int
    how: str
    run: Callable[[Sequence[str], str, str | None], Embeddings] = field(repr=False)
    prompts: dict[str, str] = field(default_factory=dict)
    loaded: Any = field(default=None, repr=False)
    symmetric: bool = True

    def encode(self, texts: Sequence[str], role: str = "", prompt: str | None = None) -> Embeddings:
        """Embed texts.

        Args:
            texts: n texts.
            role: ``query``, ``document`` or empty; decides the prompt that the model puts first.
            prompt: Put before every text instead of the model's prompt.

        Returns:
            ``(n, d)`` float32, not normalised.
        """
        return self.run(texts, role, prompt)

    def prompt(self, name: str) -> str:
        """A named prompt.

        Raises:
            ValueError: If the model has none of that name.
        """
        if name not in self.prompts:
            raise ValueError(f"{self.name} has no prompt {name!r}. {suggest(name, self.prompts)}")
        return self.prompts[name]


def load_model(
    source: str,
    *,
    revision: str = "",
    device: str = "cpu",
    batch_size: int = 64,
    max_length: int = 0,
    own: bool = False,
) -> TextModel:
    """Load a model; only safetensors are read, and no code of a repository is run.

    A folder with ``modules.json`` is loaded by sentence-transformers where that is installed, with
    all of its modules and prompts; otherwise by our own encoder, which knows a transformer and its
    pooling.

    Args:
        source: A folder, a hub name, or one of our encoders, ``static[source=...]``.
        revision: Hub revision; empty for the main branch.
        device: Where it runs.
        batch_size: Texts that go through sentence-transformers together; with `own`, our encoder
            takes no more tokens at once than so many of the longest texts have.
        max_length: Longest text in tokens; 0 for the model's own.
        own: Take our own encoder, which needs less time, for a folder that it reads as
            sentence-transformers does: a BERT or ELECTRA in float32 with one pooling and no
            prompts. The embeddings agree to the rounding of float32.

    Raises:
        ValueError: If it cannot be loaded here, has no stored weights, or asks for foreign code.
    """
    folder = Path(source).expanduser()
    kind: str = "transformer"
    params: dict[str, object] = {"source": source}
    if not folder.is_dir():
        kind, params = guide_spec(source)
    if kind == "transformer" and set(params) == {"source"}:
        folder = _sources.locate(str(params["source"]), revision or None)
        if (folder / "modules.json").is_file() and importlib.util.find_spec(
            "sentence_transformers"
        ):
            name = str(params["source"])
            if own and not max_length and _read_alike(folder):
                spec = encoders.make(kind, source=name, revision=revision)
                encoder = spec.build((), 0).to(device)
                tokens = min(encoder.batch_tokens, batch_size * encoder.max_length)
                return own_model(encoder, _named(name, folder), spec.fingerprint(), tokens=tokens)
            return _sentence_transformer(name, folder, device, batch_size, max_length)
        params = params | ({"max_length": max_length} if max_length else {})
    if revision and kind == "transformer":
        params = params | {"revision": revision}
    spec = encoders.make(kind, **params)
    spec.check()
    if spec.fingerprint() == "random":
        raise ValueError(f"{source} has no stored weights: name a folder or a hub model")
    encoder = spec.build((), 0).to(device)
    return own_model(encoder, _named(source, folder), spec.fingerprint(), repr(params))


def own_model(
    encoder: Encoder, name: str, revision: str, how: str = "", *, tokens: int | None = None
) -> TextModel:
    """One of our encoders as a model; a prompt is put directly before the text.

    Args:
        encoder: The encoder.
        name: Its name.
        revision: Hash of its weights.
        how: Further things that decide an embedding.
        tokens: Padded tokens of one batch; the encoder's own number without it.
    """
    prompts, lengths = dict(encoder.prompts), dict(encoder.lengths)

    def run(texts: Sequence[str], role: str, prompt: str | None) -> Embeddings:
        prompt = prompts.get(role, "") if prompt is None else prompt
        whole = [f"{prompt}{t}" for t in texts] if prompt else texts
        return encode_texts(encoder, whole, max_length=lengths.get(role), batch_tokens=tokens)

    return TextModel(
        name=name,
        revision=revision[:40],
        dimension=encoder.dimension,
        how=f"nsbench {how}".strip(),
        run=run,
        prompts=prompts,
        loaded=encoder,
        symmetric=not any(prompts.values()) and not lengths,
    )


def _sentence_transformer(
    source: str, folder: Path, device: str, batch_size: int, max_length: int
) -> TextModel:
    refuse_other_kinds(folder)
    refuse_foreign(folder)
    refuse_odd(folder)
    _refuse_adapter(folder)
    _refuse_old()
    from sentence_transformers import SentenceTransformer

    try:
        static = modules_of(folder)[0][0] != "Transformer"
        with quietly():
            model = SentenceTransformer(
                str(folder),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs=None if static else {"use_safetensors": True},
            )
    except Exception as error:  # any that the library raises for files that a user named
        raise _sources.SourceError(f"{folder} cannot be loaded: {said(error)}") from None
    if max_length:
        model.max_seq_length = max_length
        for name in _lengths_of(model):
            setattr(model[0], name, min(getattr(model[0], name), max_length))
    name, revision = _named(source, folder), identity(folder)
    return sentence_model(model, name, revision, batch_size, f"length {max_length}")


def _read_alike(folder: Path) -> bool:
    """True if our encoder computes what sentence-transformers computes of a folder."""
    try:
        read = read_folder(folder)
    except _sources.SourceError:
        return False
    stated = read_object(folder / "config_sentence_transformers.json")
    config = read.config
    return (
        config.get("model_type") in ("bert", "electra")  # their tokenizers strip texts, too
        and config.get("dtype", config.get("torch_dtype")) in (None, "float32")
        and 0 < read.max_length <= min(512, int(config.get("max_position_embeddings") or 512))
        and read.pooling in ("mean", "cls")
        and read.include_prompt
        and not (read.dense or read.adapter or read.lower_case or read.lengths)
        and not any((stated.get("prompts") or {}).values())
    )


def _refuse_adapter(folder: Path) -> None:
    for path in sorted(folder.rglob("adapter_config.json")):
        if importlib.util.find_spec("peft") is None:
            raise ValueError(f"{path} is an adapter, which needs peft: pip install peft")
        refuse_foreign(_sources.locate(str(read_object(path).get("base_model_name_or_path"))))


def _refuse_old() -> None:
    found = version("sentence-transformers")
    if tuple(map(int, re.findall(r"\d+", found)[:2])) < ST_FLOOR:
        floor = ".".join(map(str, ST_FLOOR))
        raise ValueError(
            f"sentence-transformers {found} is installed, {floor} or later is needed to load "
            "models safely: pip install 'nsbench[st]'"
        )


def sentence_model(
    model: Any, name: str, revision: str, batch_size: int = 64, how: str = ""
) -> TextModel:
    """A `SentenceTransformer` in memory as a model; sets it to eval mode.

    Args:
        model: The `SentenceTransformer`.
        name: Its name.
        revision: Hash of its weights.
        batch_size: Texts that go through it together.
        how: Further things that decide an embedding.
    """
    model.eval()

    def run(texts: Sequence[str], role: str, prompt: str | None) -> Embeddings:
        method = {"query": model.encode_query, "document": model.encode_document}
        done = 0

        def batch_done(module: Any, given: Any, made: Any) -> None:
            nonlocal done
            done = min(done + batch_size, len(texts))
            embedded(done, len(texts))

        hook = model[-1].register_forward_hook(batch_done)
        try:
            found = method.get(role, model.encode)(
                list(texts), prompt=prompt, batch_size=batch_size, show_progress_bar=False
            )
        finally:
            hook.remove()
        return np.asarray(found, dtype=np.float32)

    return TextModel(
        name=name,
        revision=revision[:40],
        dimension=int(model.get_embedding_dimension()),
        how=f"sentence-transformers {version('sentence-transformers')}, {how}",
        run=run,
        prompts=(prompts := {k: v or "" for k, v in (model.prompts or {}).items()}),
        loaded=model,
        symmetric=not any(prompts.values())
        and not any(type(m).__name__ in ("Router", "Asym") for m in model)
        and not _lengths_of(model),
    )


def _lengths_of(model: Any) -> list[str]:
    """Attributes of a `SentenceTransformer`'s first module that cut the texts of a role."""
    return [n for n in ("query_length", "document_length") if getattr(model[0], n, None)]


def _named(source: str, folder: Path) -> str:
    if Path(source).expanduser().is_dir():
        words = re.sub(r"[^\w.-]+", "-", folder.resolve().name).strip("-.") or "model"
        return f"local/{words}"
    if re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        return source
    return "nsbench/" + (re.sub(r"[^\w.-]+", "-", source).strip("-.") or "model")


def guide_spec(name: str) -> tuple[str, dict[str, object]]:
    """Read a guide's text as encoder name and parameters.

    Args:
        name: A registered encoder, ``static[source=...]``; any other name is a transformer's
            folder or hub name.

    Raises:
        ValueError: If it cannot be read.
    """
    kind, params = parse_choice(name)
    if kind not in encoders:
        kind, params = "transformer", {"source": kind} | params
    encoders.parameters(kind, params)
    return kind, params
