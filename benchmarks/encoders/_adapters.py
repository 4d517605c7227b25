"""Low-rank adapters: trained in place of a model's weights, and merged into a base when read.

Source: Hu et al. 2022, LoRA: Low-Rank Adaptation of Large Language Models, section 4.1, by the
library peft. https://arxiv.org/abs/2106.09685
"""

import copy
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nsbench.benchmarks.encoders import Encoder
from nsbench.benchmarks.encoders._architecture import quietly, said
from nsbench.benchmarks.encoders._settings import read_object
from nsbench.benchmarks.encoders._sources import SourceError
from nsbench.samplers import at_least, in_range, suggest

EVERY_LINEAR = "all-linear"
WEIGHTS_FILE = "adapter_model.safetensors"


@dataclass(frozen=True)
class Lora:
    """Settings of an adapter.

    Args:
        r: Rank, >= 1.
        alpha: The product of the two matrices is scaled by alpha / r; 0 stands for 2 r.
        targets: Names of linear layers that get one, such as ``["query", "value"]``, or
            ``all-linear``.
        layers: Numbers of the layers that get one, from 0; empty for all.
    """

    r: int = 16
    alpha: float = 0
    targets: str | tuple[str, ...] = EVERY_LINEAR
    layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        at_least("lora", "r", self.r, 1)
        in_range("lora", "alpha", self.alpha, 0, 1e6)
        named = isinstance(self.targets, tuple) and self.targets
        if self.targets != EVERY_LINEAR and not (
            named and all(isinstance(name, str) and name for name in self.targets)
        ):
            legal = f"{EVERY_LINEAR!r} or a list of names of layers"
            raise ValueError(f"lora: targets is {self.targets!r}; legal: {legal}")
        for layer in self.layers:
            at_least("lora", "layers", layer, 0)


def lora_of(given: Mapping[str, Any]) -> Lora | None:
    """The settings of a table, ``None`` for an empty one.

    Raises:
        ValueError: For an unknown key or a value that is not legal.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"lora is {given!r}; legal: a table such as {{ r = 16 }}")
    known = [f.name for f in fields(Lora)]
    for key in given:
        if key not in known:
            raise ValueError(f"lora has no setting {key!r}. {suggest(str(key), known)}")
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    return Lora(**plain) if given else None


def need_peft() -> None:
    """Raise ``SourceError`` where peft is not installed."""
    if importlib.util.find_spec("peft") is None:
        raise SourceError("an adapter needs peft: pip install 'nsbench[lora]'")


def add(encoder: Encoder, lora: Lora, seed: int, *, base: str) -> None:
    """Freeze the weights of a transformer and add an adapter to it, which changes nothing yet.

    Args:
        encoder: A transformer encoder.
        lora: The settings.
        seed: Of the first matrices; the second ones are zero.
        base: Name or folder of the weights, for those who read the adapter later.

    Raises:
        SourceError: If peft is missing, or no layer has one of the names.
    """
    need_peft()
    from peft import LoraConfig

    model: Any = encoder.model
    config = LoraConfig(
        task_type="FEATURE_EXTRACTION",
        r=lora.r,
        lora_alpha=lora.alpha or 2 * lora.r,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        layers_to_transform=list(lora.layers) or None,
        bias="none",
    )
    try:
        with torch.random.fork_rng(devices=[]), quietly():
            torch.manual_seed(seed)
            model.add_adapter(config)
    except Exception as error:  # any that the library raises for names that a user gave
        raise SourceError(f"lora: {asdict(lora)} cannot be added: {said(error)}") from None
    config.base_model_name_or_path = base
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    if encoder.dense is not None:
        encoder.dense.requires_grad_(False)


def check_folder(folder: Path) -> dict[str, Any]:
    """The configuration of an adapter's folder.

    Raises:
        SourceError: If it is no LoRA adapter stored as safetensors, or asks for more than peft does
            with one.
    """
    need_peft()
    from peft import LoraConfig

    path = folder / "adapter_config.json"
    stated = read_object(path)
    if stated.get("peft_type") != "LORA":
        raise SourceError(f"{path}: peft_type is {stated.get('peft_type')!r}; legal: 'LORA'")
    known = {f.name for f in fields(LoraConfig)}
    for key, value in stated.items():
        if key not in known and value not in (None, False, [], {}):
            raise SourceError(f"{path}: this version of peft does not know {key} = {value!r}")
    code = (stated.get("auto_mapping") or {}).get("parent_library") or "transformers"
    if code.split(".")[0] != "transformers":
        raise SourceError(f"{path} asks for code of {code}: foreign code is never run")
    if not (folder / WEIGHTS_FILE).is_file():
        raise SourceError(f"{folder} has no {WEIGHTS_FILE}; pickled weights are never loaded")
    return stated


def merged(model: Any, folder: Path, *, cut: bool = False) -> Any:
    """A model with an adapter's products added to its weights, all of which may train.

    Args:
        model: The base, a ``PreTrainedModel``.
        folder: Of the adapter.
        cut: Whether the model has lower layers only; what the adapter has for others is left out.

    Raises:
        SourceError: If the adapter does not fit the base to the last of its weights.
    """
    stated = check_folder(folder)
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    try:
        config = LoraConfig(**{k: v for k, v in stated.items() if k in _named_fields()})
        with torch.random.fork_rng(devices=[]):
            whole = get_peft_model(model, config)
            weights = _named(load_file(folder / WEIGHTS_FILE), whole)
            if cut:
                there = int(model.config.num_hidden_layers)
                weights = {name: x for name, x in weights.items() if _layer(name) < there}
            found = set_peft_model_state_dict(whole, weights)
    except Exception as error:  # any that the libraries raise for files that a user named
        raise SourceError(f"{folder} cannot be loaded: {said(error)}") from None
    lost = [*found.unexpected_keys, *(k for k in found.missing_keys if "lora_" in k)]
    lost = [name for name in lost if "pooler" not in name]
    if lost:
        raise SourceError(
            f"{folder} does not fit its base: {len(lost)} weights have no place or are missing, "
            f"such as {lost[0]}"
        )
    return whole.merge_and_unload().requires_grad_(True)  # it had frozen the base


def _layer(name: str) -> int:
    """Number of the layer that a weight is of, -1 if it is of none."""
    found = re.search(r"\.(\d+)\.", name)
    return int(found[1]) if found else -1


def _named_fields() -> set[str]:
    """Settings of an adapter that a file may give, without those that say where it is from."""
    from peft import LoraConfig

    apart = {"peft_type", "task_type", "auto_mapping", "inference_mode", "revision", "peft_version"}
    return {f.name for f in fields(LoraConfig) if f.init} - apart


def _named(weights: dict[str, Any], whole: Any) -> dict[str, Any]:
    """Weights of an adapter under the names of the bare model, if they are of one with a head."""
    base = whole.base_model.model
    prefix = f"base_model.model.{base.base_model_prefix}."
    if base.base_model_prefix in dict(base.named_children()):
        return weights
    return {
        f"base_model.model.{name.removeprefix(prefix)}" if name.startswith(prefix) else name: value
        for name, value in weights.items()
    }


def base_of(model: Any) -> str:
    """Name or folder of the base that a model's adapter needs and suffices with; empty for none."""
    for config in getattr(model, "peft_config", {}).values():
        return str(config.base_model_name_or_path or "")
    return ""


def whole_of(model: Any) -> Any:
    """A model with the adapter's products in its weights: itself, or a copy if it has one."""
    if not getattr(model, "peft_config", None):
        return model
    from peft.tuners.tuners_utils import BaseTunerLayer

    whole = copy.deepcopy(model)
    for name, layer in list(whole.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            above, _, last = name.rpartition(".")
            setattr(whole.get_submodule(above), last, layer.get_base_layer())
    whole._hf_peft_config_loaded = False
    del whole.peft_config
    return whole


def weights_of(encoder: Encoder) -> dict[str, Tensor]:
    """Weights and buffers by the names they have without an adapter, its products added."""
    if not getattr(encoder.model if hasattr(encoder, "model") else None, "peft_config", None):
        return dict(encoder.state_dict())
    from peft.tuners.tuners_utils import BaseTunerLayer

    found = {
        name.replace(".base_layer.", "."): value
        for name, value in encoder.state_dict().items()
        if ".lora_" not in name
    }
    for name, layer in encoder.named_modules():
        if isinstance(layer, BaseTunerLayer):
            with torch.no_grad():
                change = layer.get_delta_weight("default")
            held = found[f"{name}.weight"]
            found[f"{name}.weight"] = held + change.to(held.dtype)
    return found
