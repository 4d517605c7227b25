import numpy as np
import pytest
from made_models import pooled, save_transformer
from running import invoked

import nsbench
from nsbench.benchmarks.cli import progress
from nsbench.benchmarks.cli.main import add_groups
from nsbench.benchmarks.cli.progress import Lines, time_to_go
from nsbench.benchmarks.encoders.pretrained import load_model
from nsbench.benchmarks.encoders.progress import heard_by

TEXTS = [f"text {'long ' * (i % 7)}{i}" for i in range(150)]


def heard(run):
    calls = []
    with heard_by(lambda done, total: calls.append((done, total))):
        run()
    return calls


@pytest.mark.parametrize("library", ["ours", "sentence-transformers"])
def test_a_listener_hears_of_all_texts_and_changes_none(library, tmp_path):
    if library == "ours":
        save_transformer(tmp_path / "m", "bert")
    else:
        pooled("mean")(tmp_path / "m")
    model = load_model(str(tmp_path / "m"), batch_size=16)
    silent = model.encode(TEXTS)
    found = []
    calls = heard(lambda: found.append(model.encode(TEXTS)))
    assert np.array_equal(found[0], silent)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert calls[-1] == (len(TEXTS), len(TEXTS))
    assert heard(lambda: None) == []


def test_lines_tell_texts_and_the_time_to_go(capsys, monkeypatch):
    clock = iter([0.0, 0.0, 1.0, 25.0, 30.0, 50.0, 51.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    lines = Lines("evaluating m", every=20.0)
    for done in (10, 250, 300, 1000):
        lines(done, 1000)
    lines(5, 40)
    shown = capsys.readouterr().err.splitlines()
    assert shown == [
        "evaluating m: 250 of 1,000 texts, about 75 s to go",
        "evaluating m: 1,000 of 1,000 texts",
    ]


@pytest.mark.parametrize(
    ("done", "total", "seconds", "words"),
    [(0, 10, 5.0, ""), (10, 10, 5.0, ""), (5, 10, 5.0, "5 s"), (1, 61, 60.0, "60 min")],
)
def test_the_time_to_go_follows_the_rate_so_far(done, total, seconds, words):
    assert time_to_go(done, total, seconds) == words


def test_the_version_is_printed_alone():
    assert invoked("--version").stdout == f"nsbench {nsbench.__version__}\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("mine", ["planted[rows=200]", "name[parameter=value,...]", "[default: 3; x>=1]"]),
        ("evaluate", ["[NAME=]PATH", "[default: 64; x>=1]", "(default if no --test)"]),
        ("run", ["[run.NAME]", "[default: local]", "default out/NAME"]),
    ],
)
def test_help_keeps_brackets_and_shows_defaults(command, words):
    add_groups()
    text = invoked(command, "--help").output
    joined = " ".join(text.split())
    for word in words:
        assert word in joined
    assert "\\[" not in text
