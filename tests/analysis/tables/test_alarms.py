"""The alarm table names every alarm, how many cells rang it, and of how many."""

from running import invoked

from nsbench.analysis.cli.main import add_commands
from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.alarms import alarm_table, alarms_markdown, write_alarms
from nsbench.benchmarks.cli.main import app


def test_cells_are_counted_by_alarm_and_sampler(standard):
    table = alarm_table(standard)
    assert table.to_dict("records") == [
        {"name": "collapse", "sampler": "hard", "cells": 6, "of": 6, "text": "rank < 2"}
    ]
    assert "6 of 6 | rank \\< 2" in alarms_markdown(table)


def test_no_alarm_no_section_and_an_empty_table(build, tmp_path):
    results = load_results(build(leave_out=lambda cell: cell["sampler"]["name"] == "hard"))
    table = alarm_table(results)
    assert alarms_markdown(table) == ""
    csv, _ = write_alarms(table, tmp_path)
    assert csv.read_text() == "name,sampler,cells,of,text\n"


def test_leaderboard_and_status_show_them(build):
    root = build()
    for command in ("leaderboard", "status"):
        assert "collapse" in invoked(command, root, app=add_commands(app)).stdout
