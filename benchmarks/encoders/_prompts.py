"""Prompts: what is put before a text, by its role and its data set; never a part of the text.

Source: Su et al. 2023, One Embedder, Any Task: Instruction-Finetuned Text Embeddings; names as in
the ``prompts`` of sentence-transformers and mteb. https://arxiv.org/abs/2212.09741
"""

from collections.abc import Mapping
from typing import Any

QUERY, DOCUMENT = "query", "document"


def check_prompts(owner: str, prompts: Any) -> None:
    """Raise ``ValueError`` unless prompts are a table of texts."""
    fits = isinstance(prompts, Mapping) and all(
        isinstance(name, str) and name and isinstance(text, str) for name, text in prompts.items()
    )
    if not fits:
        legal = 'a table such as { query = "query: ", document = "passage: " }'
        raise ValueError(f"{owner}: prompts is {prompts!r}; legal: {legal}")


def prompt_for(prompts: Mapping[str, str], data: str, role: str) -> str:
    """The prompt of a text, the most specific one; empty for none.

    Args:
        prompts: By name: ``DATA-ROLE``, ``DATA`` or ``ROLE``.
        data: Name of the data set.
        role: ``query`` or ``document``; empty for neither.
    """
    names = [f"{data}-{role}", data, role] if role else [data]
    return next((prompts[name] for name in names if name in prompts), "")
