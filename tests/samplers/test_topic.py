from nsbench.samplers import make
from nsbench.samplers.testing import expect_oracle


def test_topic_keeps_the_whole_batch() -> None:
    expect_oracle(make("topic"), lambda row, s_pos, hardest_first: hardest_first)


def test_topic_names_its_batcher() -> None:
    batcher = make("topic", texts_per_cluster=50.0, share=0.5).batcher  # type: ignore[attr-defined]
    assert batcher == ("topic", {"texts_per_cluster": 50.0, "share": 0.5})
