"""Products in bfloat16 where a CPU lacks them: in float32, of rounded numbers, in every model."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from made_models import ZOO, Entry, save_transformer
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.encoders.products import (
    RoundedProducts,
    _seconds,
    autocast,
    rounded_products,
)
from nsbench.benchmarks.precision import lacks_bf16

CPU = torch.device("cpu")
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "mv", "dot", "linear", "attention")
ROUNDING = {"rtol": 2.0**-7, "atol": 2.0**-7}


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch answer as it does for a CPU with AVX2 alone."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bw": False}, raising=False)


class Seen(TorchDispatchMode):
    """Notes the products that torch computes, and those of them in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.products, self.narrow = 0, list[str]()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in PRODUCTS or "attention" in name:
            kinds = {x.dtype for x in args if isinstance(x, Tensor)}
            self.products += 1
            self.narrow += [name] if torch.bfloat16 in kinds else []
        return func(*args, **(kwargs or {}))


def test_only_a_cpu_that_lacks_them_takes_them_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    for known, lacks in (({"avx512_bw": False}, True), ({"avx512_bw": True}, False), ({}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda known=known: known, raising=False)
        assert lacks_bf16(CPU) is lacks
        assert isinstance(rounded_products(CPU), RoundedProducts if lacks else nullcontext)
        assert not lacks_bf16(torch.device("cuda"))


CALLS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "linear": functional.linear,
    "linear, named": lambda x, w, b: functional.linear(x, weight=w, bias=b),
    "no bias": lambda x, w, b: functional.linear(x, w),
    "@": lambda x, w, b: x @ w.T,
    "matmul": lambda x, w, b: torch.matmul(x, w.T),
    "method": lambda x, w, b: x.mm(w.T),
    "addmm": lambda x, w, b: torch.addmm(b, x, w.T),
    "bmm": lambda x, w, b: torch.bmm(x.view(2, 6, 24), w.T.expand(2, -1, -1)),
    "baddbmm": lambda x, w, b: torch.baddbmm(b, x.view(2, 6, 24), w.T.expand(2, -1, -1)),
    "einsum": lambda x, w, b: torch.einsum("ij,kj->ik", x, w),
    "attention": lambda x, w, b: functional.scaled_dot_product_attention(
        *(x.view(1, 2, 6, 24) for _ in range(3)), attn_mask=torch.zeros(6, 6)
    ),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
def test_a_product_and_its_gradients_are_torch_s_own_but_for_rounding(
    name: str, weights: str, lacking: None
) -> None:
    if weights == "bfloat16" and name == "attention":
        pytest.skip("torch's own attention wants a mask of the same kind")
    found = []
    for context in (torch.autocast("cpu", torch.bfloat16), autocast("bf16", CPU)):
        rng = torch.Generator().manual_seed(1)
        kind = getattr(torch, weights)
        given = [torch.randn(*n, generator=rng) for n in ((12, 24), (8, 24), (8,))]
        leaves = [x.to(kind).requires_grad_() for x in given]
        if weights == "bfloat16":
            context = rounded_products(CPU) if found else nullcontext()
        with Seen() as noted, context:
            out = CALLS[name](*leaves)
        (out.float() * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        found.append([out, *(x.grad for x in leaves if x.grad is not None)])
        assert out.dtype == torch.bfloat16
    assert not noted.narrow
    assert noted.products
    torch.testing.assert_close(found[1], found[0], **ROUNDING)


def test_other_products_are_left_to_torch(lacking: None) -> None:
    x = torch.randn(5, 4)
    with rounded_products(CPU):
        assert torch.equal(x @ x.T, torch.mm(x, x.T))
        assert (x @ x.T).dtype == torch.float32
        with pytest.raises(RuntimeError, match="dtype"):
            x.bfloat16() @ x.T  # no kind is chosen for numbers of two kinds
    with autocast("bf16", CPU):
        assert (x.double() @ x.double().T).dtype == torch.float64
        assert (x.long() @ x.long().T).dtype == torch.int64
        with torch.autocast("cpu", enabled=False):
            assert (x @ x.T).dtype == torch.float32
    with autocast("fp32", CPU):
        assert (x @ x.T).dtype == torch.float32


def passes(encoder: Any, context: Any) -> tuple[Tensor, dict[str, Tensor], Seen]:
    """Embeddings and gradients of two texts, and what products that took."""
    ids = torch.tensor([[1, 5, 6, 7, 2], [1, 8, 9, 2, 0]])
    mask = torch.tensor([[True] * 5, [True] * 4 + [False]])
    view = encoder.plain_view(ids, mask).replace(dropout=0.0)
    encoder.zero_grad()
    with Seen() as noted:
        with context:
            out = encoder(view).float()
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return out, {n: p.grad for n, p in encoder.named_parameters() if p.grad is not None}, noted


@pytest.mark.parametrize(
    "entry", [e for e in ZOO if not e.refused and e.encoder == "transformer"], ids=str
)
def test_no_model_takes_a_product_in_bfloat16(entry: Entry, lacking: None, tmp_path: Path) -> None:
    entry.save(tmp_path / "model")
    for weights in ("fp32", "bf16"):
        given = entry.given | {"weights": weights}
        encoder = encoders.make("transformer", source=str(tmp_path / "model"), **given).build((), 0)
        context = autocast("bf16", CPU) if weights == "fp32" else nullcontext()
        out, gradients, noted = passes(encoder, context)
        assert noted.products
        assert not noted.narrow
        assert bool(out.isfinite().all())
        assert gradients


@pytest.mark.parametrize("kind", ["bert", "qwen3", "t5"])
@pytest.mark.parametrize("weights", ["fp32", "bf16"])
def test_nor_do_layers_that_are_computed_again(
    kind: str, weights: str, lacking: None, tmp_path: Path
) -> None:
    (entry,) = (e for e in ZOO if e.name == kind)
    entry.save(tmp_path / "model")
    found = []
    for again in (False, True):
        spec = encoders.make(
            "transformer", source=str(tmp_path / "model"), weights=weights, checkpointing=again
        )
        encoder = spec.build((), 0)
        found.append(passes(encoder, autocast("bf16", CPU)))
        assert not found[-1][2].narrow
    assert found[1][2].products > found[0][2].products
    assert found[0][1].keys() == found[1][1].keys()
    assert all(torch.equal(found[0][1][n], found[1][1][n]) for n in found[0][1])


def test_a_model_s_embeddings_are_torch_s_own_but_for_rounding(
    lacking: None, tmp_path: Path
) -> None:
    base = save_transformer(tmp_path / "model", "bert")
    encoder = encoders.make("transformer", source=str(base)).build((), 0)
    ours = passes(encoder, autocast("bf16", CPU))
    ours = ours[0], {name: value.clone() for name, value in ours[1].items()}, ours[2]
    theirs = passes(encoder, torch.autocast("cpu", torch.bfloat16))
    assert theirs[2].narrow
    torch.testing.assert_close(ours[0], theirs[0], rtol=0.05, atol=0.05)
    assert ours[1].keys() == theirs[1].keys()
    off = sum(float((ours[1][n] - v).square().sum()) for n, v in theirs[1].items())
    assert off < 0.05**2 * sum(float(v.square().sum()) for v in theirs[1].values())


def test_what_says_how_slow_it_is_times_what_would_run(lacking: None) -> None:
    with Seen() as noted:
        _seconds(CPU, "bfloat16")
    assert noted.products
    assert not noted.narrow
