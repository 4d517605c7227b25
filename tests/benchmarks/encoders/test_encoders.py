"""Encoders: pooling, fast paths, layers kept, positions, safetensors only."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.augmentations import Augmentation, TokenView, augmentations
from nsbench.benchmarks.contrast.views import forward
from nsbench.benchmarks.encoders import Encoder, encode_texts, encoders, masked_mean
from nsbench.benchmarks.encoders._architecture import PACKED
from nsbench.benchmarks.encoders._base import tokenize
from nsbench.benchmarks.encoders._sources import SourceError
from nsbench.benchmarks.encoders._transformer import TransformerEncoder
from nsbench.benchmarks.testing.augmentations import TEXTS, seeded, small_encoder, view_of

TRANSFORMED = ("none", "token_cutoff", "feature_cutoff", "embedding_dropout", "token_shuffle")


def slow_static(encoder: Encoder, view: TokenView) -> Tensor:
    """The pooled embedding with everything written out on the full (B, L, d) tensor."""
    states = functional.embedding(view.ids, encoder.table)  # type: ignore[arg-type]
    if view.scale is not None:
        states = states * view.scale
    if view.shift is not None:
        states = states + view.shift
    return masked_mean(states, view.mask)


def scales(view: TokenView) -> dict[str, Tensor | None]:
    """Every shape a scale may have."""
    batch, length = view.ids.shape
    shapes = {
        "tokens": (batch, length, 1),
        "columns": (batch, 1, view.width),
        "elements": (batch, length, view.width),
        "one": (1, 1, 1),
        "texts": (batch, 1, 1),
        "all tokens alike": (1, length, 1),
        "all columns alike": (1, 1, view.width),
    }
    made: dict[str, Tensor | None] = {
        name: torch.rand(shape, generator=seeded(0)) for name, shape in shapes.items()
    }
    return made | {"none": None}


@pytest.mark.parametrize("name", [*scales(view_of(small_encoder("static")))])
def test_static_fast_path_equals_the_full_one(name: str) -> None:
    encoder = small_encoder("static")
    view = view_of(encoder)
    scaled = view.replace(scale=scales(view)[name])
    torch.testing.assert_close(encoder(scaled), slow_static(encoder, scaled))


@pytest.mark.parametrize("name", ["tokens", "columns", "elements", "none"])
def test_static_fast_path_has_the_gradient_of_the_full_one(name: str) -> None:
    encoder = encoders.make("static", dimension=8).build(TEXTS, 0)
    view = view_of(encoder)
    scaled = view.replace(scale=scales(view)[name])
    weight = torch.rand(len(TEXTS), 8, generator=seeded(1))
    gradients = []
    for function in (encoder, lambda v: slow_static(encoder, v)):
        (function(scaled) * weight).sum().backward()
        gradient = encoder.table.grad
        gradients.append(gradient.to_dense() if gradient.is_sparse else gradient)
        encoder.table.grad = None
    torch.testing.assert_close(*gradients)


def test_static_adds_a_shift() -> None:
    encoder = small_encoder("static")
    view = view_of(encoder)
    shifted = view.replace(shift=torch.rand(*view.ids.shape, view.width, generator=seeded(0)))
    torch.testing.assert_close(encoder(shifted), slow_static(encoder, shifted))


@pytest.mark.parametrize("kind", ["tiny", "static"])
@pytest.mark.parametrize("second", TRANSFORMED)
@pytest.mark.parametrize("first", TRANSFORMED)
def test_joint_forward_equals_separate_passes(kind: str, first: str, second: str) -> None:
    encoder = small_encoder(kind)
    short = view_of(encoder, TEXTS[3:] + TEXTS[3:], length=9)
    parts: list[TokenView] = [
        augmentations.make(first)(view_of(encoder, length=24), seeded(0)),
        augmentations.make(second)(short, seeded(1)),  # narrower rows
    ]
    for joint, alone in zip(forward(encoder, parts), map(encoder, parts), strict=True):
        torch.testing.assert_close(joint, alone, rtol=1e-5, atol=1e-6)


def test_views_of_different_dropout_are_not_joined() -> None:
    encoder = small_encoder("tiny")
    plain = view_of(encoder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        clean, noisy = forward(encoder, [plain, plain.replace(dropout=0.5)])
    assert torch.equal(clean, encoder(plain))
    assert not torch.allclose(noisy, clean)


@pytest.mark.parametrize("kind", ["tiny", "static"])
def test_encode_texts_equals_forward_in_any_order_and_batch(kind: str) -> None:
    encoder = small_encoder(kind)
    expected = encoder(view_of(encoder)).numpy()
    for limit in (1, 20, 8192):
        found = encode_texts(encoder, TEXTS, batch_tokens=limit)
        np.testing.assert_allclose(found, expected, atol=2e-6)
        backwards = encode_texts(encoder, TEXTS[::-1], batch_tokens=limit)
        np.testing.assert_allclose(backwards[::-1], expected, atol=2e-6)


def test_encode_texts_switches_dropout_off_and_leaves_the_mode_alone() -> None:
    encoder = encoders.make("tiny", dimension=8, dropout=0.5).build(TEXTS, 0)
    encoder.train()
    one, two = encode_texts(encoder, TEXTS), encode_texts(encoder, TEXTS)
    assert np.array_equal(one, two)
    assert encoder.training


def hidden_states(encoder: Any, view: TokenView) -> tuple[Tensor, ...]:
    encoder.eval()
    out = encoder.model(
        input_ids=view.ids, attention_mask=view.mask.long(), output_hidden_states=True
    )
    return tuple(out.hidden_states)


def pooled(pooling: str, layers: int = 2) -> Encoder:
    encoder: Encoder = encoders.make("tiny", dimension=16, layers=layers, pooling=pooling).build(
        TEXTS, 0
    )
    return encoder.requires_grad_(False)


def test_poolings_are_what_they_say() -> None:
    view = view_of(pooled("mean"))
    states = hidden_states(pooled("mean"), view)
    mask = view.mask[:, :, None].float()

    def mean(x: Tensor) -> Tensor:
        return (x * mask).sum(dim=1) / mask.sum(dim=1)

    torch.testing.assert_close(pooled("mean")(view), mean(states[-1]))
    torch.testing.assert_close(pooled("cls")(view), states[-1][:, 0])
    torch.testing.assert_close(
        pooled("last2_mean")(view), (mean(states[-1]) + mean(states[-2])) / 2
    )


def test_last2_mean_with_equal_last_layers_is_the_last() -> None:
    both: list[Any] = [pooled("last2_mean"), pooled("mean")]
    for encoder in both:
        encoder.model.encoder.layer[1].forward = lambda states, *args, **kwargs: states
    view = view_of(both[0])
    torch.testing.assert_close(both[0](view), both[1](view))


def saved(folder: Path, layers: int = 3, kind: str = "bert") -> Path:
    """A random model with its tokenizer, saved as a folder."""
    from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

    config_class, model_class = {
        "bert": (BertConfig, BertModel),
        "roberta": (RobertaConfig, RobertaModel),
    }[kind]
    tokenizer = pooled("mean").tokenizer
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class(
            config_class(
                vocab_size=len(tokenizer),
                hidden_size=16,
                num_hidden_layers=layers,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=40,
                pad_token_id=0 if kind == "bert" else 1,
            )
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("layers", [0, 1, 2, 3, -1])
def test_lower_layers_are_kept(tmp_path: Path, layers: int) -> None:
    folder = saved(tmp_path)
    whole = encoders.make("transformer", source=str(folder)).build([], 0).requires_grad_(False)
    cut = encoders.make("transformer", source=str(folder), layers=layers).build([], 0)
    view = view_of(whole)
    states = hidden_states(whole, view)
    torch.testing.assert_close(cut(view), masked_mean(states[layers], view.mask))


def test_more_layers_than_there_are_is_refused(tmp_path: Path) -> None:
    spec = encoders.make("transformer", source=str(saved(tmp_path)), layers=4)
    with pytest.raises(ValueError, match=r"layers = 4, but .* has 3"):
        spec.check()


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    spec = encoders.make("transformer", source=str(folder))
    for attempt in (spec.check, spec.fingerprint, lambda: spec.build([], 0)):
        with pytest.raises(SourceError, match=r"no \.safetensors .*pickled weights are never"):
            attempt()


def roberta() -> tuple[Any, TransformerEncoder]:
    from transformers import RobertaConfig, RobertaModel

    tokenizer = pooled("mean").tokenizer
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
        pad_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = RobertaModel(config, add_pooling_layer=False).eval()
    given: dict[str, Any] = {"pooling": "mean", "max_length": 30, "dropout": 0.0}
    return model, TransformerEncoder(model, tokenizer, **given).requires_grad_(False)


def test_roberta_positions_start_after_its_pad_id() -> None:
    model, encoder = roberta()
    view = view_of(encoder)
    # RoBERTa counts positions from its pad id, 1 here, plus 1, and over tokens that are no pads;
    # none of our texts holds token 1.
    ids = torch.where(view.mask, view.ids, 1)
    own = model(input_ids=ids, attention_mask=view.mask.long()).last_hidden_state
    torch.testing.assert_close(encoder(view), masked_mean(own, view.mask))


def test_roberta_sees_a_shuffle() -> None:
    _, encoder = roberta()
    plain = view_of(encoder)
    shuffle: Augmentation = augmentations.make("token_shuffle")
    assert not torch.allclose(encoder(shuffle(plain, seeded(0))), encoder(plain))


def test_special_tokens_are_counted_at_both_ends() -> None:
    assert small_encoder("tiny").specials == (1, 1)
    assert small_encoder("static").specials == (0, 0)


def test_longest_text_fits_roberta_positions(tmp_path: Path) -> None:
    # 40 positions of which RoBERTa never uses the first two: 38 tokens are the most it can take.
    encoder = encoders.make("transformer", source=str(saved(tmp_path, kind="roberta"))).build([], 0)
    assert encoder.max_length == 38
    assert encode_texts(encoder, [" ".join(TEXTS) * 4]).shape == (1, 16)


def test_attention_under_bfloat16_on_a_cpu_is_that_of_float32(tmp_path: Path) -> None:
    from nsbench.benchmarks.encoders import _attention

    encoder = encoders.make("transformer", source=str(saved(tmp_path))).build([], 0)
    assert encoder.model.config._attn_implementation == _attention.NAME
    seen = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def spy(query: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        seen.append(query.dtype)
        return plain(query, *args, **kwargs)

    view = view_of(encoder)
    exact = encoder(view)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
        with torch.autocast("cpu", torch.bfloat16):
            rough = encoder(view)
    assert set(seen) == {torch.float32}
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)


def family(kind: str) -> TransformerEncoder:
    """A random encoder of two layers of one of transformers' families."""
    from transformers import AutoConfig, AutoModel

    tokenizer = pooled("mean").tokenizer
    names = {"distilbert": ("dim", "n_layers", "n_heads", "hidden_dim")}
    size, layers, heads, inner = names.get(
        kind, ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    )
    sizes = {size: 16, layers: 2, heads: 2, inner: 32}
    config = AutoConfig.for_model(
        kind, vocab_size=len(tokenizer), max_position_embeddings=40, pad_token_id=1, **sizes
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModel.from_config(config)
    return TransformerEncoder(model, tokenizer, pooling="mean", max_length=30, dropout=0.0)


def ragged(encoder: TransformerEncoder) -> TokenView:
    """Fifty texts of 3 to 19 tokens, shuffled, scaled by token and feature, shifted."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, 20, (50, 1), generator=generator)
    ids = torch.randint(5, 15, (50, 20), generator=generator)
    mask = torch.arange(20) < lengths
    view = encoder.plain_view(torch.where(mask, ids, encoder.tokenizer.pad_token_id), mask)
    return view.replace(
        positions=view.positions.flip(1).contiguous(),
        scale=torch.rand(50, 20, 1, generator=generator),
        shift=torch.rand(50, 1, encoder.width, generator=generator),
    )


@pytest.mark.parametrize("pooling", ["mean", "cls", "last2_mean"])
@pytest.mark.parametrize("kind", PACKED)
def test_texts_laid_end_to_end_are_what_padded_ones_are(kind: str, pooling: str) -> None:
    encoder = family(kind).double()
    encoder.pooling = pooling
    assert encoder.end_to_end
    weight = torch.randn(50, encoder.dimension, generator=torch.Generator().manual_seed(1))
    weight = weight.double()
    found = []
    for run in (encoder.forward, encoder._padded):
        encoder.zero_grad()
        view = ragged(encoder)
        shift = view.shift.double().requires_grad_()
        out = run(view.replace(shift=shift, unpooled=torch.tensor([7, 9])))
        (out * weight).sum().backward()
        grads = {n: p.grad for n, p in encoder.named_parameters() if p.grad is not None}
        assert "model.embeddings.word_embeddings.weight" in grads
        found.append((out.detach(), shift.grad, grads))
    torch.testing.assert_close(found[0], found[1], rtol=1e-8, atol=1e-10)


def test_no_padding_is_computed() -> None:
    encoder, seen = family("bert"), []
    linear = encoder.model.encoder.layer[0].intermediate.dense
    linear.register_forward_hook(lambda module, given, out: seen.append(out.shape[:-1].numel()))
    view = ragged(encoder)
    encoder(view)
    assert seen == [int(view.mask.sum())]


@pytest.mark.parametrize("kind", ["distilbert", "mpnet", "modernbert"])
def test_other_families_stay_padded(kind: str) -> None:
    encoder = family(kind)
    assert not encoder.end_to_end
    view = ragged(encoder)
    torch.testing.assert_close(encoder(view), encoder._padded(view))


def test_texts_end_to_end_drop_out_at_the_views_rate() -> None:
    encoder = family("bert")
    view = ragged(encoder)
    still, again = (encoder(view.replace(dropout=0.0)) for _ in range(2))
    assert torch.equal(still, again)
    assert not torch.equal(encoder(view.replace(dropout=0.5)), still)
    assert all(layer.p == 0.5 for layer in encoder._dropouts)


def test_the_head_is_seen_in_training_and_left_off_in_scoring(tmp_path: Path) -> None:
    folder = str(saved(tmp_path))
    bare = encoders.make("transformer", source=folder).build([], 0)
    made = encoders.make("transformer", source=folder, head="mlp")
    encoder = made.build([], 3)
    linear, tanh = encoder.head
    assert isinstance(tanh, torch.nn.Tanh)
    view = view_of(encoder)
    expected = torch.tanh(bare(view) @ linear.weight.T)
    torch.testing.assert_close(encoder(view), expected)
    np.testing.assert_array_equal(encode_texts(encoder, TEXTS), encode_texts(bare, TEXTS))
    assert encoder.training, "as it was before"
    encoder(view).sum().backward()
    assert linear.weight.grad.abs().sum() > 0
    assert torch.equal(linear.weight, made.build([], 3).head[0].weight), "by its seed"
    assert not torch.equal(linear.weight, made.build([], 4).head[0].weight)


def test_a_head_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match=r"head is .mpl.\. Did you mean .mlp."):
        encoders.make("transformer", source="x", head="mpl")


def test_a_corpus_is_tokenised_once_by_its_content(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    texts = ["a b", "c", ""]
    build = encoders.make("transformer", source=str(folder)).build
    once = tokenize(build([], 0), texts, 8)
    assert tokenize(build([], 0), texts, 8) is once, "another cell, the same content"
    assert tokenize(build([], 0), texts, 3) is not once, "another length"
    assert tokenize(build([], 0), ["a", " bc", ""], 8) is not once, "other texts, same characters"
    assert all(once), "no text is empty"
