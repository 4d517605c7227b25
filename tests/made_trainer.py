"""Small trainings of sentence-transformers for tests."""

from pathlib import Path
from typing import Any


def trainer_for(model: Any, train: Any, loss: Any, folder: Path, **more: Any) -> Any:
    """A sentence-transformers trainer on the CPU that takes 8 steps of 4 rows and saves nothing."""
    from sentence_transformers import (
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )

    evaluated = more.pop("eval_dataset", None)
    options = {
        "per_device_train_batch_size": 4,
        "max_steps": 8,
        "learning_rate": 0.05,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
    } | more
    arguments = SentenceTransformerTrainingArguments(str(folder), **options)
    return SentenceTransformerTrainer(
        model, arguments, train_dataset=train, eval_dataset=evaluated, loss=loss
    )
