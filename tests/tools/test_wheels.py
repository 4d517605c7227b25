"""What a GPU machine lacks is fetched for it; faiss-gpu takes the place of faiss-cpu."""

from collections.abc import Sequence

import pytest
from packaging.requirements import Requirement

from tools import wheels

PROJECT = {
    "dependencies": ["torch>=2.9", "faiss-cpu>=1.12", "pydantic>=2.9"],
    "optional-dependencies": {"gpu": ["faiss-gpu>=1.15"], "st": ["sentence-transformers>=6"]},
}
METADATA = {
    "faiss-gpu": ["numpy>=1.25", "cudart-cu12<13,>=12.6"],
    "pydantic": [
        "typing_extensions>=4",
        "core[fast]==2.1; python_version >= '3.9'",
        'tzdata; platform_system == "Windows"',
        'email-validator; extra == "email"',
    ],
    "core": ["typing-extensions>=4.14", 'speed>=1; extra == "fast"'],
}


def test_faiss_gpu_takes_the_place_of_faiss_cpu() -> None:
    assert list(map(str, wheels.wanted(PROJECT, []))) == PROJECT["dependencies"]
    found = list(map(str, wheels.wanted(PROJECT, ["gpu", "st"])))
    assert found == ["torch>=2.9", "pydantic>=2.9", "faiss-gpu>=1.15", "sentence-transformers>=6"]
    with pytest.raises(ValueError, match="no extra 'gpus': gpu, st"):
        wheels.wanted(PROJECT, ["gpus"])


def test_all_that_is_missing_is_fetched_once_and_nothing_that_is_there() -> None:
    asked: list[list[str]] = []

    def fetch(needs: Sequence[Requirement]) -> dict[str, str]:
        asked.append(sorted(f"{need.name}{need.specifier}" for need in needs))
        return {
            need.name.replace("_", "-"): "".join(
                f"Requires-Dist: {line}\n" for line in METADATA.get(need.name, [])
            )
            for need in needs
        }

    have = wheels.named("torch==2.11.0+cu130\nNumPy==2.5.2\n\n")
    assert have == {"torch", "numpy"}
    wheels.closure(wheels.wanted(PROJECT, ["gpu"]), have, fetch, "3.12")
    assert asked == [
        ["faiss-gpu>=1.15", "pydantic>=2.9"],
        ["core==2.1", "cudart-cu12<13,>=12.6", "typing_extensions>=4"],
        ["speed>=1"],
    ]
