import pytest
from made_results import table_of

from nsbench.analysis.figures.pictures import gather
from nsbench.analysis.read.load import load_results


def test_random_pairs_of_a_methods_seeds_are_added_up(standard_material):
    found, _ = table_of(standard_material, "random_pairs")
    assert set(found["method"]) == {"no_training", "in_batch", "random", "hard"}
    part = found[found["method"] == "no_training"]
    assert part["bin_low"].tolist() == [-1, -0.5, 0, 0.5]
    assert part["count"].tolist() == [0, 3, 2 + 3 + 4, 3]
    assert set(part["n_seeds"]) == {3}
    part = found[found["method"] == "hard"]  # of two augmentations
    assert part["count"].tolist() == [0, 6, 2 * (2 + 3 + 4), 6]
    assert set(part["n_seeds"]) == {3}


def test_frequent_tokens_are_read_from_the_additional_scores(standard_material):
    found, _ = table_of(standard_material, "frequent_tokens")
    part = found[found["method"] == "no_training"]
    assert part["k"].tolist() == [0, 4, 16]
    assert part["mean"].tolist() == pytest.approx([0.5, 0.54, 0.66])
    part = found[found["method"] == "hard"]
    assert set(part["n_seeds"]) == {3}, "augmentations are averaged within a seed"


def test_scores_of_cut_embeddings_are_read_by_their_length(standard_material):
    found, _ = table_of(standard_material, "dimensions")
    part = found[found["method"] == "in_batch"]
    assert part["k"].tolist() == [4, 16]
    assert part["mean"].tolist() == pytest.approx([0.54, 0.66])


def test_alignment_is_taken_at_the_steps_of_the_probe(standard_material):
    found, _ = table_of(standard_material, "alignment_uniformity")
    part = found[found["method"] == "random"]
    assert part["step"].tolist() == [0, 10, 20]
    assert part["uniformity"].tolist() == pytest.approx([-0.995, -1.995, -2.995])
    assert part["alignment"].tolist() == pytest.approx([0.19, 0.19, 0.19])


def test_of_one_sampler_the_methods_are_its_augmentations(build):
    root = build(leave_out=lambda cell: cell["sampler"]["name"] in ("random", "hard"))
    material = gather(load_results(root))[0]
    table, _ = table_of(material, "random_pairs")
    assert set(table["method"]) == {"no_training", "none", "feature_cutoff"}
