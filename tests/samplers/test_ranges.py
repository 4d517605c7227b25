from dataclasses import dataclass, replace
from typing import Annotated, Any

import pytest

from nsbench.samplers import Choice, Interval, Registry, make, parse_choice

registry: Registry[Any] = Registry("thing", "nsbench.samplers", "nsbench.no_such_group")


@registry.register("plain")
@dataclass(frozen=True)
class Plain:
    near: Annotated[float, Interval("(0, 2)")] = 0.5
    far: Annotated[float, Interval("(near, 2]")] = 1.4
    count: Annotated[int, Interval("[1, 9]")] = 3
    keep: Annotated[str, Choice("all", "own")] = "all"
    text: str = ""
    flag: bool = False
    sizes: Annotated[tuple[int, ...], Interval("[2, inf)")] = ()


@registry.register("own")
@dataclass(frozen=True)
class Own(Plain):
    def __post_init__(self) -> None:
        if self.text == "refused":
            raise ValueError("own: text is refused")


@pytest.mark.parametrize("cls", [Plain, Own])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("near=0", r"near must be in (0, 2), got 0"),
        ("near=x", r"near must be in (0, 2), got 'x'"),
        ("near=1.5", "far must be in (1.5, 2], got 1.4"),
        ("count=0", "count must be a whole number >= 1, got 0"),
        ("count=2.0", "count must be a whole number >= 1, got 2.0"),
        ("count=10", "count must be in [1, 9], got 10"),
        ("keep=owm", "keep is 'owm'. Did you mean 'own'? Known: all, own."),
        ("text=3", "text must be a string, got 3"),
        ("flag=1", "flag must be true or false, got 1"),
        (
            "flag=false",
            "flag must be true or false, got 'false'; in name[parameter=value], write False",
        ),
        ("sizes=3", "sizes must be a list, got 3"),
        ("sizes=[2.5]", "sizes must be a whole number >= 2, got 2.5"),
    ],
)
def test_a_parameter_outside_its_declared_range_is_refused(
    cls: Any, given: str, message: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the whole message is compared
        cls(**parse_choice(f"x[{given}]")[1])
    assert str(caught.value) == f"{cls.__name__.lower()}: {message}"


def test_declared_ranges_leave_a_component_as_it_is() -> None:
    made = Own(sizes=[2, 3], far=2, text="x")  # type: ignore[arg-type]  # a list, as in a file
    assert made.sizes == (2, 3)
    assert replace(made, count=9) == Own(sizes=(2, 3), far=2, text="x", count=9)
    with pytest.raises(ValueError, match="text is refused"):
        Own(text="refused")
    with pytest.raises(ValueError, match="cannot read the interval '0 to 2'"):
        Interval("0 to 2")


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("band", {"low": 0.5, "high": 0.5}, r"high must be in \(0.5, 1\], got 0.5"),
        ("bm25", {"k": 30}, "depth must be a whole number >= 30, got 20"),
        ("bm25_ranking", {"b": 1.5}, "b must be in"),
        ("corpus_negatives", {"max_score": 2.0}, "max_score must be in"),
        ("incremental", {"texts_per_cluster": (0.5,)}, "texts_per_cluster must be in"),
        ("incremental", {"refreshes": 0}, "refreshes"),
        ("topic", {"share": 1.5}, r"share must be in \[0, 1\], got 1.5"),
        ("bandwidth", {"then": "topic"}, "makes up batches too"),
        ("bandwidth", {"then": "no_training"}, "does not train"),
        ("bandwidth", {"then": "guided[guide=static]"}, "names a guide"),
        ("bandwidth", {"then": "hrd"}, "no sampler is called 'hrd'"),
        ("curriculum", {"inner": "bnad"}, "inner: .* 'bnad'. Did you mean 'band'"),
        ("curriculum", {"inner": "in_batch"}, "has nothing to schedule"),
        ("curriculum", {"parameter": "hgih"}, "parameter is 'hgih'. Did you mean 'high'"),
        ("curriculum", {"start": 1.5}, r"start is 1.5, but band: high must be in \(0, 1\]"),
        ("curriculum", {"end": 0.0}, r"end is 0.0, but band: high must be in \(0, 1\]"),
        ("curriculum", {"inner": "hard", "parameter": "k", "end": 0.4}, "end is 0.4, but hard: k"),
        ("curriculum", {"schedule": "log"}, "schedule is 'log'"),
        ("drop_band", {"low": 0.0, "high": 1.0}, "drops every negative"),
        ("incremental", {"texts_per_cluster": ()}, "at least one level"),
        ("judged", {"low": 0.5, "high": 0.2}, r"high is 0\.2, below low, which is 0\.5"),
        ("judged", {"judge": "truth", "guide": "static"}, "judge is 'truth'"),
        ("median_triplet", {"drop": 3, "upto": 3}, "upto must be a whole number >= 4, got 3"),
        ("mined", {"k": 30}, "depth must be a whole number >= 30, got 20"),
        ("mined", {"variant": "official", "depth": 50}, "variant official has 200 and 0"),
        ("mined", {"variant": "official", "start": 5}, "variant official has 200 and 0"),
        ("mixed", {"pairs": 0, "with_anchor": 0}, "nothing would be mixed"),
        ("mixed", {"then": "hrad"}, "then: no sampler is called 'hrad'"),
        ("mixed_own", {"pairs": 0, "lists": 0}, "pairs and lists are both 0"),
        ("mixed_own", {"lists": 2}, "lists must be 0 or 1, got 2"),
        (
            "random_removal",
            {"like": "gided"},
            "like: .* 'gided'. Did you mean 'guid",
        ),
        ("random_removal", {"like": "mixed"}, "makes negatives"),
    ],
)
def test_what_no_absurd_number_tries_is_refused(
    name: str, given: dict[str, Any], message: str
) -> None:
    """The contract suite tries numbers far outside; these are just outside, or do not fit."""
    with pytest.raises(ValueError, match=message):
        make(name, **given)
