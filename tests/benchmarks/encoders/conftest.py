"""Models in folders."""

from pathlib import Path

import pytest


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A random causal transformer whose positions are relative."""
    from made_models import GEMMA, save_transformer

    return save_transformer(tmp_path / "model", "gemma3_text", **GEMMA)
