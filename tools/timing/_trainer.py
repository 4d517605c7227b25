"""The trainer of sentence-transformers, timed step by step."""

import tempfile
import time
from collections.abc import Sequence
from typing import Any

import torch


def trainer_stamps(
    model: Any,
    texts: Sequence[str],
    *,
    steps: int,
    batch: int,
    learning_rate: float,
    bf16: bool,
    device: torch.device,
) -> list[float]:
    """Train a model on texts and themselves, with its in-batch loss.

    Args:
        model: A ``SentenceTransformer`` on the device.
        texts: Each is its own positive.
        steps: Optimizer steps.
        batch: Rows of a step.
        learning_rate: Peak rate.
        bf16: Whether it trains in bfloat16.
        device: A CPU or a CUDA device.

    Returns:
        When each step ended, by `time.perf_counter`.

    Raises:
        ImportError: If the trainer, or what it needs, is not installed.
    """
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    stamps: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *args: object, **kwargs: object) -> None:
            stamps.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        SentenceTransformerTrainer(
            model=model,
            args=SentenceTransformerTrainingArguments(
                output_dir=folder,
                max_steps=steps,
                per_device_train_batch_size=batch,
                learning_rate=learning_rate,
                bf16=bf16,
                use_cpu=device.type == "cpu",
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
                seed=1,
            ),
            train_dataset=Dataset.from_dict({"anchor": texts, "positive": texts}),
            loss=MultipleNegativesRankingLoss(model),
            callbacks=[Clock()],
        ).train()
    return stamps
