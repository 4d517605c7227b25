"""Settings of a run outside its matrix file: the options of ``nsbench run``."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from nsbench.benchmarks.matrix.config import MatrixConfig


class RunSettings(BaseModel):
    """Settings of one run; the descriptions are the help of ``nsbench run``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: str | MatrixConfig = Field(description="A matrix file (TOML), or the name of a suite.")
    out_dir: Path | None = Field(default=None, description="Results folder; default out/NAME.")
    only: tuple[str, ...] = Field(
        default=(),
        description="Run only the cells that match: a glob on the sampler, the key or the whole "
        "text, short as it is printed or with all settings, or AXIS=GLOB, such as 'seed=1'; "
        "repeatable.",
    )
    workers: int = Field(
        default=0, ge=0, description="Worker processes (0: one per core, or one on a GPU)."
    )
    beside: int = Field(
        default=1,
        ge=0,
        description="Cells interleaved in one process on a GPU (0: choose automatically).",
    )
    executor: str = Field(
        default="local",
        description="Where cells run: local, ray, slurm; [run.NAME] in the file sets it up.",
    )
    address: str = Field(
        default="", description="Address of a running Ray cluster; 'auto' finds it."
    )
    retry_failed: bool = Field(default=False, description="Run failed cells again.")
    time_limit: float = Field(
        default=0.0, ge=0, description="Seconds a cell may take; a slower one fails (0: no limit)."
    )
    max_hours: float = Field(
        default=0.0,
        ge=0,
        description="Stop after this many hours; rerun to continue (0: no limit).",
    )
    checkpoint_every: float | None = Field(
        default=None,
        ge=0,
        description="Minutes between checkpoints, from which a killed cell resumes (0: none). "
        "Default 10, or the file's.",
    )
    cache: str | None = Field(
        default=None,
        description="Folder where runs share embeddings and mined candidates, or 'none'. "
        "Default $NSBENCH_CACHE, or nsbench in the user's cache folder.",
    )
    encoder: str | None = Field(
        default=None, description="Use this encoder instead of the file's encoders."
    )
    report_to: tuple[str, ...] = Field(
        default=(),
        description="Report finished cells to tensorboard, wandb or trackio, under OUT/reports; "
        "repeatable.",
    )
    scale: float = Field(default=1.0, description="Multiply every budget by this, for a trial.")
