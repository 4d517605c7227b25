"""Steps recorded in software."""

from collections.abc import Iterator

import pytest

from tools.timing.tape import SOFTWARE, modes


@pytest.fixture
def software() -> Iterator[None]:
    """Record steps on tapes, as a GPU would in CUDA graphs."""
    with modes(SOFTWARE):
        yield
