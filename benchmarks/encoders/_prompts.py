"""Prompts and lengths by role: what is put before a text, and after how many tokens it is cut.

A prompt is never a part of the text. It counts towards the length, as special tokens do.

Source: Su et al. 2023, One Embedder, Any Task: Instruction-Finetuned Text Embeddings; names as in
the ``prompts`` of sentence-transformers and mteb. https://arxiv.org/abs/2212.09741
"""

from collections.abc import Mapping
from typing import Any

QUERY, DOCUMENT = "query", "document"
ROLES = (QUERY, DOCUMENT)


def check_prompts(owner: str, parameter: str, prompts: Any) -> None:
    """Raise ``ValueError`` unless prompts are a table of texts."""
    fits = isinstance(prompts, Mapping) and all(
        isinstance(name, str) and name and isinstance(text, str) for name, text in prompts.items()
    )
    if not fits:
        legal = 'a table such as { query = "query: ", document = "passage: " }'
        raise ValueError(f"{owner}: {parameter} is {prompts!r}; legal: {legal}")


def prompt_for(prompts: Mapping[str, str], data: str, role: str) -> str:
    """The prompt of a text, the most specific one; empty for none.

    Args:
        prompts: By name: ``DATA-ROLE``, ``DATA`` or ``ROLE``.
        data: Name of the data set.
        role: ``query`` or ``document``; empty for neither.
    """
    names = [f"{data}-{role}", data, role] if role else [data]
    return next((prompts[name] for name in names if name in prompts), "")


def check_lengths(owner: str, parameter: str, lengths: Any) -> None:
    """Raise ``ValueError`` unless lengths are a table of whole numbers by role."""
    fits = isinstance(lengths, Mapping) and all(
        role in ROLES and isinstance(n, int) and not isinstance(n, bool) and n >= 2
        for role, n in lengths.items()
    )
    if not fits:
        legal = "a table such as { query = 64, document = 512 }, of whole numbers >= 2"
        raise ValueError(f"{owner}: {parameter} is {lengths!r}; legal: {legal}")


def fitting_lengths(owner: str, lengths: Mapping[str, int], most: int) -> dict[str, int]:
    """Return lengths by role that an encoder can read.

    Args:
        owner: Name of the encoder.
        lengths: In tokens, by role.
        most: Longest text of the encoder.

    Raises:
        ValueError: If one is longer.
    """
    for role, length in lengths.items():
        if length > most:
            raise ValueError(
                f"{owner}: lengths: {role} is {length}, but the encoder reads {most} tokens at "
                "most; raise max_length, or shorten it"
            )
    return dict(lengths)


def length_for(lengths: Mapping[str, int], role: str, most: int) -> int:
    """Longest text of a role in tokens.

    Args:
        lengths: By role.
        role: ``query`` or ``document``; empty for neither.
        most: Of texts without a length.
    """
    return min(lengths.get(role, most), most)
