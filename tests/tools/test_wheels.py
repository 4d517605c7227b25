"""What a GPU machine lacks is fetched for it; faiss-gpu takes the place of faiss-cpu."""

import pytest

from tools import wheels

PROJECT = {
    "dependencies": ["torch>=2.9", "faiss-cpu>=1.12", "pydantic>=2.9"],
    "optional-dependencies": {"gpu": ["faiss-gpu>=1.15"], "st": ["sentence-transformers>=6"]},
}


def test_faiss_gpu_takes_the_place_of_faiss_cpu() -> None:
    assert wheels.wanted(PROJECT, []) == PROJECT["dependencies"]
    found = wheels.wanted(PROJECT, ["gpu", "st"])
    assert found == ["torch>=2.9", "pydantic>=2.9", "faiss-gpu>=1.15", "sentence-transformers>=6"]
    with pytest.raises(ValueError, match="no extra 'gpus': gpu, st"):
        wheels.wanted(PROJECT, ["gpus"])


def test_what_is_there_in_any_version_and_spelling_is_left_out() -> None:
    names = [("torch", "2.13.0"), ("Typing_Extensions", "4.16.0"), ("bm25s", "0.3.16")]
    report = {"install": [{"metadata": {"name": n, "version": v}} for n, v in names]}
    have = "torch==2.11.0+cu130\ntyping-extensions==4.15.0\n\n"
    assert wheels.lacking(report, have) == ["bm25s==0.3.16"]
    assert len(wheels.lacking(report, "")) == 3
