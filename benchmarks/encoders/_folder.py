"""A model folder as its files describe it: honoured in full by our encoders, or refused.

Nothing here imports transformers or sentence-transformers. Every name of a class, every path and
every setting is read from the files first, so that no library ever sees a folder that would make
it run code, and no setting is passed over in silence.

Source: the files of a sentence-transformers folder, Reimers and Gurevych 2019, Sentence-BERT.
https://arxiv.org/abs/1908.10084
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nsbench.benchmarks.encoders._settings import lengths_of, longest, read_object, settings_of
from nsbench.benchmarks.encoders._sources import SourceError, locate

MODULES = (
    "Transformer", "Pooling", "Normalize", "Dense", "LayerNorm", "Dropout", "StaticEmbedding",
    "WeightedLayerPooling", "Router", "Asym",
)  # fmt: skip
"""Modules of sentence-transformers that name no class and read no pickle."""
_OF_OTHERS = re.compile(r"sentence_transformers(\.\w+)*\.(\w+)")
_ACTIVATION = re.compile(r"torch\.nn\.modules\.(activation|linear)\.\w+")
_CLASSES = ("activation_function", "activation_fn", "activation_fct", "default_activation_function")
POOLED_BY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Keys of older folders and the mode that each switches on, in the order of concatenation."""


@dataclass(frozen=True)
class ModelFolder:
    """A transformer, its pooling and what follows, as a folder describes them.

    Attributes:
        body: Folder of the transformer's configuration, weights and tokenizer.
        config: Its ``config.json``.
        pooling: Modes of pooling joined by ``+``; empty where the folder names none.
        dense: Folders of the linear layers that follow, in order.
        max_length: Longest text in tokens; 0 where the folder names none.
        lower_case: True if texts are lower-cased before the tokenizer's own rules.
        adapter: Folder of an adapter of the transformer, ``None`` for none.
        include_prompt: False if the tokens of prompts are left out of the pooling.
        tokenizer: Folder of the tokenizer where it is another than `body`.
        lengths: Longest text in tokens by role, where the folder names some.
    """

    body: Path
    config: Mapping[str, Any]
    pooling: str = ""
    dense: tuple[Path, ...] = ()
    max_length: int = 0
    lower_case: bool = False
    adapter: Path | None = None
    include_prompt: bool = True
    tokenizer: Path | None = None
    lengths: Mapping[str, int] = field(default_factory=dict)

    def check_prompts(self, prompts: Mapping[str, str]) -> Mapping[str, str]:
        """The prompts of a matrix, which the folder must let into the mean of tokens.

        Raises:
            SourceError: If it leaves them out.
        """
        if any(prompts.values()) and not self.include_prompt:
            raise SourceError(
                f"prompts: the pooling of {self.body} leaves the tokens of prompts out "
                "(include_prompt is false), which an encoder of a matrix does not do"
            )
        return prompts

    @property
    def words(self) -> Path:
        """Folder of the tokenizer."""
        return self.tokenizer or self.body


def modules_of(folder: Path) -> list[tuple[str, Path]]:
    """Class and folder of every module that ``modules.json`` lists; none without that file.

    Raises:
        SourceError: If a class is foreign, or a path leaves the folder.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return []
    try:
        listed = [(str(m["type"]), str(m["path"])) for m in json.loads(path.read_text("utf-8"))]
    except (ValueError, TypeError, KeyError, RecursionError, OSError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from None
    if not listed:
        raise SourceError(f"{path} lists no module")
    return [(_ours(kind, folder), _inside(folder, place)) for kind, place in listed]


def _ours(kind: str, folder: Path) -> str:
    """Last part of a class name of sentence-transformers."""
    found = _OF_OTHERS.fullmatch(kind)
    if not found:
        raise SourceError(f"{folder} asks for the module {kind}: foreign code is never run")
    if found[2] in MODULES and "sparse_encoder" not in kind and "multi_vector" not in kind:
        return found[2]
    raise SourceError(
        f"{folder} asks for the module {kind}, which is not among those that are loaded: "
        f"{', '.join(MODULES)}"
    )


def _inside(folder: Path, place: str) -> Path:
    # A hub snapshot's files are links into its cache; the folders themselves are not.
    whole = (folder / place).resolve()
    if "\0" in place or not whole.is_relative_to(folder.resolve()):
        raise SourceError(f"{folder}: the module path {place!r} leaves the folder")
    return folder / place


def refuse_foreign(folder: Path) -> None:
    """Raise ``SourceError`` for a folder that asks for foreign code, or has pickled modules.

    Checked are ``modules.json``, the routes of a Router, activations, ``auto_map`` (code of the
    folder itself) and ``trust_remote_code`` in every configuration, and that a module that has
    weights has them as safetensors.
    """
    for path in _configurations(folder):
        for key, value in _entries(read_object(path)):
            if key == "auto_map" and value:
                raise SourceError(
                    f"{path} has auto_map: the model asks for code of its folder, which is never "
                    "run; save it with a class of transformers"
                )
            if key == "trust_remote_code" and value:
                raise SourceError(f"{path} says trust_remote_code: foreign code is never run")
            if key in _CLASSES and not (value is None or _is_activation(value)):
                raise SourceError(
                    f"{path}: {key} is {value!r}, which is no activation of torch: foreign code is "
                    "never run"
                )
    for kind, place in modules_of(folder):
        _check_module(kind, place)


def _is_activation(value: object) -> bool:
    return isinstance(value, str) and ("." not in value or bool(_ACTIVATION.fullmatch(value)))


def _check_module(kind: str, place: Path) -> None:
    there = {p.suffix for p in place.glob("*") if p.is_file()}
    if there & {".bin", ".pt"} and ".safetensors" not in there:
        raise SourceError(f"{place} has pickled weights only, which are never loaded")
    if kind in ("Router", "Asym"):
        for inner, path in routes_of(place):
            _check_module(inner, path)


def routes_of(place: Path) -> list[tuple[str, Path]]:
    """Class and folder of every module of a Router's routes.

    Raises:
        SourceError: As `modules_of`.
    """
    path = place / "router_config.json"
    config = read_object(path) or read_object(place / "config.json")
    types, structure = config.get("types"), config.get("structure")
    if not isinstance(types, dict) or not isinstance(structure, dict):
        raise SourceError(f"{path} needs the objects types and structure")
    for name in types:
        if _inside(place, name).resolve() == place.resolve():
            raise SourceError(f"{path}: the route {name!r} is the Router itself")
    return [(_ours(str(kind), place), _inside(place, name)) for name, kind in types.items()]


def transformers_of(folder: Path) -> list[Path]:
    """Folders of all Transformer modules, those of routes included; the folder if it has none.

    Raises:
        SourceError: As `modules_of`.
    """
    found, left = [], modules_of(folder) or [("Transformer", folder)]
    while left:
        kind, place = left.pop()
        if kind == "Transformer":
            found.append(place)
        elif kind in ("Router", "Asym"):
            left += routes_of(place)
    return sorted(found)


def _configurations(folder: Path) -> list[Path]:
    """Every configuration of a folder, sub-folders included; no vocabulary and no tokenizer."""
    found = (p for p in folder.rglob("*.json") if p.is_file() and "config" in p.name)
    return sorted(p for p in found if not p.name.startswith(("data_config", "trainer")))


def _entries(value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Keys and values of an object and of all objects in it."""
    if depth > 50:
        raise SourceError("a configuration is nested more than 50 deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key), inner
            yield from _entries(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner, depth + 1)


def refuse_other_kinds(folder: Path) -> None:
    """Raise ``SourceError`` for a model whose similarity is not the cosine of one vector a text."""
    stated = read_object(folder / "config_sentence_transformers.json")
    kind = stated.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise SourceError(
            f"{folder} holds a {kind}: only models that give one dense vector a text are compared"
        )
    classes = read_object(folder / "config.json").get("architectures") or []
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise SourceError(
            f"{folder / 'config.json'}: architectures is {classes!r}; legal: a list of class names"
        )
    for name in classes:
        if name.endswith(("ForSequenceClassification", "HF_ColBERT")):
            raise SourceError(
                f"{folder} holds a {name}: its head scores pairs or tokens, and is no encoder of "
                "texts"
            )
    similarity = stated.get("similarity_fn_name")
    kinds = [kind for kind, _ in modules_of(folder)]
    if similarity in (None, "cosine") or (similarity == "dot" and kinds[-1:] == ["Normalize"]):
        return
    raise SourceError(
        f"{folder / 'config_sentence_transformers.json'}: similarity_fn_name is {similarity!r}, "
        "but models are compared by cosine; legal: cosine, or dot after a Normalize module"
    )


def read_folder(folder: Path) -> ModelFolder:
    """The folder as our transformer encoder has to treat it.

    Raises:
        SourceError: If it asks for something that the encoder does not do; the message names the
            file, the value and the legal ones.
    """
    refuse_other_kinds(folder)
    refuse_foreign(folder)
    _refuse_default_prompt(folder)
    modules = modules_of(folder)
    kinds = [kind for kind, _ in modules]
    if kinds[:1] == ["StaticEmbedding"]:
        raise SourceError(f"{folder} holds a token table: name it as static[source={folder}]")
    body = modules[0][1] if modules else folder
    adapter = body if (body / "adapter_config.json").is_file() else None
    if adapter is not None:
        body = _base_of(adapter)
    if modules and not re.fullmatch(r"Transformer Pooling( Dense)*( Normalize)?", " ".join(kinds)):
        raise SourceError(
            f"{folder / 'modules.json'} lists {', '.join(kinds)}; legal in a matrix: Transformer, "
            "Pooling, then any number of Dense, then at most one Normalize"
        )
    for path in (place / "config.json" for kind, place in modules if kind == "Normalize"):
        if not is_default(path):
            raise SourceError(f"{path} normalises something else than sentence_embedding")
    if not modules and pooling_of(folder / "1_Pooling") not in ("", "mean"):
        raise SourceError(f"{folder} has a 1_Pooling, but no modules.json that says it is used")
    written = adapter or body
    settings = settings_of(written)
    own = any((written / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))
    return ModelFolder(
        body=body,
        config=read_object(body / "config.json"),
        pooling=pooling_of(modules[1][1]) if modules else "",
        dense=tuple(place for kind, place in modules if kind == "Dense"),
        max_length=longest(written) or longest(body),
        lower_case=bool(settings.get("do_lower_case")),
        adapter=adapter,
        include_prompt=not modules
        or read_object(modules[1][1] / "config.json").get("include_prompt", True) is not False,
        tokenizer=written if own else None,
        lengths=lengths_of(settings),
    )


def usual_pooling(config: Mapping[str, Any]) -> str:
    """Pooling of a transformer whose folder names none, as sentence-transformers takes it."""
    classes = config.get("architectures") or [""]
    causal = classes[0].endswith("ForCausalLM") and config.get("is_causal", True)
    return "lasttoken" if causal else "mean"


def _base_of(adapter: Path) -> Path:
    """Folder of the transformer that an adapter was trained on."""
    path = adapter / "adapter_config.json"
    name = read_object(path).get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise SourceError(f"{path}: base_model_name_or_path is {name!r}; legal: a model")
    base = locate(name)
    refuse_foreign(base)
    places = transformers_of(base)
    if len(places) != 1 or (places[0] / "adapter_config.json").is_file():
        raise SourceError(f"{path}: its base {name} is no single model: merge that first")
    return places[0]


def is_default(path: Path) -> bool:
    """True for the settings of a module that reads and writes the embeddings of whole texts."""
    return all(
        key in ("module_input_name", "module_output_name") and value == "sentence_embedding"
        for key, value in read_object(path).items()
    )


def _refuse_default_prompt(folder: Path) -> None:
    path = folder / "config_sentence_transformers.json"
    stated = read_object(path)
    name, prompts = stated.get("default_prompt_name"), stated.get("prompts") or {}
    if name is None:
        return
    text = prompts.get(name) if isinstance(prompts, dict) else None
    if text is None or text:
        raise SourceError(
            f"{path}: default_prompt_name is {name!r}, which puts {text!r} before every text; a "
            "matrix trains without prompts: set default_prompt_name to null"
        )


def pooling_of(place: Path) -> str:
    """Modes that a Pooling module concatenates, joined by ``+``; empty without one."""
    path = place / "config.json"
    stated = read_object(path)
    if not stated:
        return ""
    modes: Any = stated.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in POOLED_BY.items() if stated.get(key)]
        unknown = [
            k
            for k, v in stated.items()
            if k.startswith("pooling_mode_") and v and k not in POOLED_BY
        ]
        modes = modes + unknown
    modes = [modes] if isinstance(modes, str) else modes or ["mean"]
    legal = list(POOLED_BY.values())
    if not isinstance(modes, list) or any(mode not in legal for mode in modes):
        raise SourceError(f"{path}: the pooling is {modes!r}; legal: {', '.join(legal)}")
    return "+".join(modes)
