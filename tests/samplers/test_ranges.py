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
    ],
)
def test_bounds_that_no_absurd_number_tries(name: str, given: dict[str, Any], message: str) -> None:
    """The contract suite tries numbers far outside; these are just outside, or by another one."""
    with pytest.raises(ValueError, match=message):
        make(name, **given)
