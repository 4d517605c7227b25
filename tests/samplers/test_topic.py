from nsbench.samplers import make


def test_topic_names_its_batcher() -> None:
    batcher = make("topic", texts_per_cluster=50.0, share=0.5).batcher  # type: ignore[attr-defined]
    assert batcher == ("topic", {"texts_per_cluster": 50.0, "share": 0.5})
