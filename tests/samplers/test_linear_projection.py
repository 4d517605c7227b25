"""The closed-form map: pairs come close, and it is the one that the formula says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from running import Build, Run, planned_of

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encode_texts
from nsbench.benchmarks.runs.cell_run import built_encoder
from nsbench.benchmarks.training.projection import project_cell, relevant_components
from nsbench.benchmarks.training.regime import SkipCellError


def test_the_map_makes_the_differences_of_pairs_alike_in_every_direction() -> None:
    draw = np.random.default_rng(0)
    differences = draw.normal(size=(4000, 6)) * np.array([5.0, 3.0, 1.0, 1.0, 0.5, 0.2])
    linear = relevant_components(differences, 1e-9)
    after = differences @ linear
    covariance = after.T @ after / len(after)
    np.testing.assert_allclose(
        covariance, np.eye(6) * covariance[0, 0], atol=1e-6 * covariance[0, 0]
    )
    np.testing.assert_allclose(linear, linear.T, atol=1e-9)


def test_law_full_shrinkage_changes_nothing() -> None:
    draw = np.random.default_rng(0)
    np.testing.assert_allclose(relevant_components(draw.normal(size=(50, 6)), 1.0), np.eye(6))


@pytest.fixture
def raw(small: Build) -> Build:
    projected = ["in_batch", {"name": "linear_projection", "shrinkage": [0.1, 1.0]}]
    data = [{"name": "planted", "rows": 300}]
    return lambda **given: small(**{"samplers": projected, "data": data} | given)


def test_pairs_come_closer_than_other_texts(raw: Build) -> None:
    cells = [p.cell for p in planned_of(raw(encoders=[{"name": "static", "dimension": 64}]))]
    cell = next(c for c in cells if c.sampler.params.get("shrinkage") == 0.1)
    data = datasets.make("planted", rows=300)()
    found = []
    for mapped in (False, True):
        encoder = built_encoder(cell)
        if mapped:
            project_cell(cell, data, encoder)
        z = torch.as_tensor(encode_texts(encoder, data.texts))
        z = torch.nn.functional.normalize(z, dim=1)
        cosine = z[data.anchor] @ z[data.positive].T
        found.append(float((cosine.diagonal()[:, None] > cosine).float().mean()))
    assert found[1] > found[0] + 0.05


def test_cells_are_scored_and_unfit_ones_say_why(run_matrix: Run, raw: Build) -> None:
    encoders = [{"name": "static", "dimension": 16}, "tiny"]
    _, records = run_matrix(raw(encoders=encoders, no_training=True))
    found = {
        (r.cell["encoder"]["name"], r.cell["sampler"]["params"].get("shrinkage")): r
        for r in records
        if r.cell["sampler"]["name"] in ("linear_projection", "no_training")
    }
    assert found["static", 0.1].status == found["static", 1.0].status == "done"
    assert found["static", 0.1].weights != found["static", None].weights
    assert found["tiny", 0.1].status == "skipped"
    assert "tiny is more than that" in found["tiny", 0.1].reason


def test_positives_that_are_their_anchors_are_refused(raw: Build) -> None:
    (planned,) = planned_of(raw(samplers=["linear_projection"]))
    data = datasets.make("planted", rows=300)()
    same = replace(data, positive=data.anchor)
    with pytest.raises(SkipCellError, match="every positive of planted is its anchor"):
        project_cell(planned.cell, same, built_encoder(planned.cell))
