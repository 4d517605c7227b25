"""Executors by name, and the settings of each: the table ``[run.NAME]`` of a matrix file."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from nsbench.samplers import Registry


class ExecutorSettings(BaseModel):
    """Settings of an executor; without fields, a matrix file has no table for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


executors: Registry[Any] = Registry(
    "executor", "nsbench.benchmarks.runs.executors", group="nsbench.executors"
)
"""Implementations of `nsbench.benchmarks.runs.executors.base.Executor`, one a file."""
register = executors.register


def settings_of(name: str) -> type[ExecutorSettings]:
    """Return the settings model of an executor.

    Raises:
        UnknownNameError: If no executor has that name.
    """
    found: type[ExecutorSettings] = executors.entry(name).attribute("Settings", ExecutorSettings)
    return found
