import itertools

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbench.analysis.figures import style
from nsbench.analysis.figures.drawing import row_labels
from nsbench.analysis.figures.style import look, looks


def test_known_samplers_look_different():
    known = list(style._LOOKS.values())
    assert len({(k.colour, k.marker) for k in known}) == len(known)


def test_an_unknown_sampler_has_a_look_of_its_own_that_never_changes():
    before = style.look("my_new_sampler")
    assert style.look("my_new_sampler") == before
    assert style.look("another") != before
    # A hash of the name, so the same on every machine and in every version.
    assert before == style.Look("#56B4E9", "*", style.DASHES[3])


def test_variants_keep_the_colour_of_their_name():
    plain, narrow, wide = (style.look(n) for n in ("band", "band(high=0.05)", "band(high=0.5)"))
    assert plain.colour == narrow.colour == wide.colour
    assert len({(k.marker, str(k.dash)) for k in (plain, narrow, wide)}) == 3


@pytest.mark.parametrize("colour", [k.colour for k in style._LOOKS.values()])
def test_colours_stand_out_on_white(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) > 2


def test_house_style_leaves_no_trace():
    before = dict(mpl.rcParams)
    with style.house_style():
        assert mpl.rcParams["svg.hashsalt"] == "nsbench"
    assert dict(mpl.rcParams) == before


def test_no_two_samplers_of_a_picture_share_colour_and_marker():
    labels = [f"band(high={i})" for i in range(9)] + ["hard", "noise", "noise(times=2)"]
    found = looks(labels)
    assert len({(v.colour, v.marker) for v in found.values()}) == len(labels)
    assert found["hard"] == look("hard")
    assert looks(["hard", "random"]) == {s: look(s) for s in ("hard", "random")}


_PARTS = st.sampled_from(
    ["in_batch", "(directions=", "q_d+q_q+", "d_d", ")", " / ", "margin, ", "x"]
)


_TAILS = st.lists(st.lists(_PARTS, min_size=1, max_size=12).map("".join), unique=True, max_size=8)


@given(st.sampled_from(["", "hard_reweighted / in_batch(directions=q_d+q_q, margin="]), _TAILS)
def test_two_names_never_have_the_same_label(head, tails):
    names = [head + tail for tail in tails]
    names = list({" ".join(name.split()): name for name in names if name.strip()})
    labels = row_labels(names)
    alike = {frozenset((a, b)) for a, b in itertools.combinations(range(len(names)), 2)}
    same = [pair for pair in alike if len({labels[i] for i in pair}) == 1]
    assert all(len({_read(names[i]) for i in pair}) == 1 for pair in same)
    for name, label in zip(names, labels, strict=True):
        if not label.endswith("..."):
            assert _read(label) == _read(name)


def test_names_that_only_blanks_tell_apart_end_in_the_same_label():
    long = 24 * "a"
    assert row_labels([f"{long} ...", f"{long}  ..."]) == 2 * [f"{long}\n..."]


def _read(text):
    return "".join(text.split())
