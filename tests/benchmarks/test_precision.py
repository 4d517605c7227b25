"""bfloat16 is taken by itself only where a device has it, and where it is slow that is said."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from running import invoked

from nsbench.benchmarks.encoders import products
from nsbench.benchmarks.encoders.products import autocast, slow_bf16
from nsbench.benchmarks.matrix.config import parse_config
from nsbench.benchmarks.precision import has_bf16
from nsbench.benchmarks.runs.checking import precisions
from nsbench.benchmarks.runs.matrix_run import plan_matrix
from nsbench.benchmarks.runs.settings import RunSettings
from nsbench.benchmarks.runs.watch import Watch

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
MATRIX: dict[str, Any] = {
    "schema": 1,
    "name": "tiny",
    "samplers": ["in_batch"],
    "encoders": [{"name": "static", "dimension": 8}],
    "data": [{"name": "planted", "rows": 64}],
    "budget": {"steps": 2, "batch_size": 8},
    "run": {"device": "cpu"},
}


def of_gpu(monkeypatch: pytest.MonkeyPatch, *, native: bool) -> None:
    """Let torch answer as it does for a GPU that computes bfloat16, natively or not."""

    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)


def of_cpu(monkeypatch: pytest.MonkeyPatch, **capabilities: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


def takes(monkeypatch: pytest.MonkeyPatch, times: float) -> None:
    monkeypatch.setattr(products, "_times", lambda device: times)


@pytest.mark.filterwarnings("ignore:CUDA is not available")
@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bfloat16_on_a_gpu_that_has_it_alone(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_gpu(monkeypatch, native=native)
    assert has_bf16(CUDA) is native
    assert isinstance(autocast("auto", CUDA), torch.autocast if native else nullcontext)
    assert isinstance(autocast("bf16", CUDA), torch.autocast)  # who asks for it gets it
    assert isinstance(autocast("auto", CPU), nullcontext)


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16"])
def test_a_cpu_has_bfloat16_by_its_instructions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of_cpu(monkeypatch, avx2=True, **{name: True})
    assert has_bf16(CPU)
    of_cpu(monkeypatch, avx2=True, **{name: False})
    assert not has_bf16(CPU)


def test_slow_bfloat16_is_measured_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    of_cpu(monkeypatch, avx2=True)
    takes(monkeypatch, 7.1)
    assert "about 7 times as long as in 'fp32' on this CPU" in slow_bf16(["fp32", "bf16"], CPU)
    assert slow_bf16(["auto", "fp32"], CPU) == ""
    takes(monkeypatch, 1.2)
    assert slow_bf16(["bf16"], CPU) == ""
    takes(monkeypatch, 7.1)
    of_cpu(monkeypatch, amx_bf16=True)
    assert slow_bf16(["bf16"], CPU) == ""


def test_the_measurement_runs_here() -> None:
    threads = torch.get_num_threads()
    assert 0.01 < products._times(CPU) < 1000
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("part", ["budget", "evaluation"])
def test_a_run_says_that_bfloat16_is_slow_before_it_starts(
    part: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    of_cpu(monkeypatch, avx2=True)
    takes(monkeypatch, 9.0)
    config = parse_config(MATRIX | {part: {**MATRIX.get(part, {}), "precision": "bf16"}})
    said: list[str] = []

    class Heard(Watch):
        def note(self, text: str) -> None:
            said.append(text)

    settings = {"config": config, "out_dir": tmp_path}
    plan_matrix(RunSettings.model_validate(settings), Heard())
    assert [line for line in said if "about 9 times as long" in line] == said
    assert len(said) == 1


def test_precisions_are_those_of_training_of_evaluation_and_of_weights() -> None:
    parts = {"budget": {**MATRIX["budget"], "precision": "fp32"}, "evaluation": {}}
    assert precisions(parse_config(MATRIX)) == {"auto", "fp32"}
    assert precisions(parse_config(MATRIX | parts)) == {"fp32"}
    parts["evaluation"] = {"precision": "bf16"}
    assert precisions(parse_config(MATRIX | parts)) == {"fp32", "bf16"}
    halved = {"encoders": ["static", {"name": "owner/model", "weights": ["fp32", "bf16"]}]}
    assert precisions(parse_config(MATRIX | halved)) == {"auto", "fp32", "bf16"}


def test_doctor_says_that_bfloat16_is_slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    of_cpu(monkeypatch, avx2=True)
    takes(monkeypatch, 9.0)
    path = tmp_path / "tiny.toml"
    path.write_text(
        'schema = 1\nname = "tiny"\nsamplers = ["in_batch"]\ndata = ["planted"]\n'
        'encoders = ["static"]\n[budget]\nprecision = "bf16"\n[run]\ndevice = "cpu"\n'
    )
    told = invoked("doctor", path, env={"COLUMNS": "300"}).output
    (line,) = [line for line in told.splitlines() if "about 9 times as long" in line]
    assert line.startswith("note")
