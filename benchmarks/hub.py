"""Availability of the Hugging Face hub, determined once before anything needs it.

A hub that is not switched off and does not answer is asked again and again by the libraries that
read from it, half a minute for every data set, even for what lies in the cache. It is asked here
once, and from then on taken for switched off.
"""

import logging
import os
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SWITCH = "HF_HUB_OFFLINE"
SECONDS = 5.0
_MODULES = (("huggingface_hub.constants", SWITCH), ("datasets.config", SWITCH))
_ON = {"1", "ON", "YES", "TRUE"}
_silent: list[str] = []  # the address that did not answer this process or the one that started it


def address() -> str:
    """Return the address of the hub: ``HF_ENDPOINT``, or huggingface.co."""
    return os.environ.get("HF_ENDPOINT") or "https://huggingface.co"


def home() -> Path:
    """The cache of all that comes from the hub: ``HF_HOME``, or its default."""
    return Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()


@contextmanager
def errors_only(library: str) -> Iterator[None]:
    """No log line of a library below an error: `datasets` warns of all that its cache answers."""
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def offline() -> bool:
    """Return whether the hub is off, by ``HF_HUB_OFFLINE`` or because it does not answer."""
    names = (SWITCH, "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").upper() in _ON for name in names)


def answers() -> bool:
    """Return whether the hub answers at all within `SECONDS`, name look-up included."""
    if not address().startswith(("https://", "http://")):
        return False
    found: list[bool] = []
    asking = threading.Thread(target=lambda: found.append(_asked()), daemon=True)
    asking.start()
    asking.join(SECONDS)
    return found == [True]


def _asked() -> bool:
    request = urllib.request.Request(address(), method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):
            return True
    except urllib.error.HTTPError:  # it says no, but it is there
        return True
    except (OSError, ValueError):
        return False


def settle(say: Callable[[str], None]) -> None:
    """Ask the hub whether it is there, and switch it off for this run if it is not."""
    if offline() or answers():
        return
    switch_off(silent=True)
    say(
        f"the hub {address()} does not answer: only what is in the cache "
        f"{home()} is used, as with {SWITCH}=1"
    )


def switch_off(*, silent: bool = False) -> None:
    """Use the cache alone from now on, in this process and those it starts.

    Args:
        silent: Whether that is because the hub did not answer, for the words of later errors.
    """
    os.environ[SWITCH] = "1"
    for module, name in _MODULES:  # they read it when they are imported
        if module in sys.modules:
            setattr(sys.modules[module], name, True)
    if silent:
        _silent[:] = [address()]


def state() -> tuple[bool, tuple[str, ...]]:
    """Return whether the hub is off, and the silent address, for processes started elsewhere."""
    return offline(), tuple(_silent)


def take(state: tuple[bool, tuple[str, ...]]) -> None:
    """Do as another process found it right to do, see `state`."""
    off, silent = state
    if off:
        switch_off()
        _silent[:] = silent


def why_off() -> str:
    """Return why the hub cannot be asked, in words."""
    if _silent:
        return f"the hub {_silent[0]} does not answer"
    return "the hub is switched off"


def remedy() -> str:
    """Return in words how to fetch what the cache lacks."""
    otherwise = "" if _silent else f", or unset {SWITCH}"
    return f"run nsbench prefetch where there is a network{otherwise}"


@contextmanager
def cache_only() -> Iterator[None]:
    """Switch the hub off for a moment, to see what is in the cache; not for several threads."""
    import datasets.config
    import huggingface_hub.constants

    modules: tuple[Any, ...] = (datasets.config, huggingface_hub.constants)
    before = [module.HF_HUB_OFFLINE for module in modules]
    for module in modules:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = value


def is_local(source: str) -> bool:
    """Return whether a model is no hub name: a folder, or one of our encoders without weights."""
    return source in ("", "tiny", "static") or Path(source).expanduser().is_dir()
