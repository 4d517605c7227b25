"""A cross-encoder that judges own negatives in training: a tiny random one, from its folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_models import save_cross_encoder
from made_training import method, opened, unbroken

from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.matrix.expand import _files
from nsbench.benchmarks.mining.dataset.rescore import load_rescorer
from nsbench.benchmarks.records.cell import resolve
from nsbench.samplers import make, samplers
from nsbench.samplers.testing import make_context

pytest.importorskip("sentence_transformers")


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random cross-encoder of one output."""
    words = sorted({w for text in rows().texts for w in text.split()})
    path = tmp_path_factory.mktemp("scorer") / "ce"
    return save_cross_encoder(path, words, initializer_range=0.5)


def rows() -> TrainingData:
    return datasets.make("negated", data={"name": "planted", "rows": 60})()


def judged(scorer: Path, **given: Any) -> Any:
    limits = {"low": 0.4, "high": 0.6} | given
    return make("judged", judge="cross_encoder", scorer=str(scorer), **limits)


def begun(sampler: Any, mined: bool = True) -> Any:
    data = rows()
    encoder = encoders.make("static", dimension=16).build(data.texts, 0)
    more = {"shortage": "fewer", "negatives": 2, "depth": 6, "refresh": 4}
    pool = candidates.make("corpus", **more) if mined else "in_batch"
    return opened(encoder, data, method(sampler, pool=pool, steps=10))


@pytest.mark.parametrize("mined", [False, True])
def test_own_negatives_get_the_scores_of_the_cross_encoder(scorer: Path, mined: bool) -> None:
    under = begun(judged(scorer), mined)
    under.pool.refresh(0)
    under.extras.refresh(0, 10)
    batch = under.next_batch(0)
    stepped = under.make_step(batch)
    model, texts = load_rescorer(str(scorer)), under.world.data.texts
    context, contrast = stepped.context, stepped.contrast
    found = context.require("own_score")
    own, seen = context.require("own_negative"), 0
    for column in range(len(found)):
        owner = own[:, column].nonzero()
        if not len(owner) or not bool(contrast.valid[column]):
            continue
        pair = int(contrast.anchor_texts[owner[0, 0]]), int(contrast.column_texts[column])
        wanted = model.score([(texts[pair[0]], texts[pair[1]])])[0]
        assert float(found[column]) == pytest.approx(float(wanted), abs=1e-5)
        seen += 1
    assert seen == 8 * (3 if mined else 1)
    assert (found[~own.any(dim=0)] == 0).all()
    wrong = own & context.negative_mask & (found >= 0.4)[None, :]
    assert not (stepped.selection.mask & wrong).any()


def test_a_training_with_a_judge_resumes_as_if_never_stopped(scorer: Path) -> None:
    whole = unbroken(lambda: begun(judged(scorer)), after=4)
    assert whole.cost["pairs_judged"] == 10 * 8 * 3
    plain = begun("in_batch").finish().training["loss"]
    assert (np.asarray(plain) != np.asarray(whole.result().training["loss"])).any()


def test_another_cross_encoder_makes_another_cell(scorer: Path, tmp_path: Path) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(scorer, other)
    config = (other / "config.json").read_text()
    (other / "config.json").write_text(
        config.replace('"hidden_act": "gelu"', '"hidden_act": "relu"')
    )
    keys = set()
    for folder in (scorer, other):
        given = {"judge": "cross_encoder", "scorer": str(folder), "low": 0.4, "high": 0.6}
        choice = resolve(samplers, "judged", given)
        keys.add(_files(choice, make("judged", **given))["scorer"])
    assert len(keys) == 2
    assert "scorer" not in resolve(samplers, "judged", {}).params


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"judge": "cross_encoder"}, "scorer is '', but judge is 'cross_encoder'"),
        ({"scorer": "a"}, "scorer is 'a', but judge is 'guide'"),
        (
            {"judge": "cross_encoder", "scorer": "a", "among": "all"},
            "it judges own negatives only",
        ),
    ],
)
def test_a_scorer_is_for_a_cross_encoder_and_own_negatives(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make("judged", **given)


def test_law_a_judge_that_calls_all_negative_changes_nothing() -> None:
    context = make_context(6, 30)
    sampler = make("judged", judge="cross_encoder", scorer="a", low=2.0, high=3.0)
    assert torch.equal(sampler(context).mask, context.negative_mask)
