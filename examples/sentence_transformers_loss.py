"""Train a sentence-transformers model with semi-hard negatives; some 30 lines, seconds on a CPU."""

from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

from nsbench.benchmarks.adapters.sentence_transformers import (
    DifficultyCallback,
    NegativeSamplingLoss,
)
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.export.sentence_transformer import to_sentence_transformer

data = datasets.make("planted", rows=256)()
pairs = Dataset.from_dict(
    {
        "anchor": [data.texts[i] for i in data.anchor],
        "positive": [data.texts[i] for i in data.positive],
    }
)
# Any SentenceTransformer will do; this one is a small random table, to need no download.
encoder = encoders.make("static", dimension=64).build(data.texts, seed=1)
model = to_sentence_transformer(encoder)

known = (pairs["anchor"], pairs["positive"])
loss = NegativeSamplingLoss(model, "semi_hard[margin=0.2]", pairs=known)
arguments = SentenceTransformerTrainingArguments(
    "out/st", per_device_train_batch_size=256, num_train_epochs=8, learning_rate=0.01, seed=1,
    logging_steps=1, save_strategy="no", report_to="none", use_cpu=True, disable_tqdm=True,
)  # fmt: skip
trainer = SentenceTransformerTrainer(model, arguments, train_dataset=pairs, loss=loss)
trainer.add_callback(DifficultyCallback(loss, trainer, every=5))
trainer.train()

history = trainer.state.log_history
losses = [row["loss"] for row in history if "loss" in row]
chosen = [row["neg/chosen"] for row in history if "neg/chosen" in row]
print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}, negatives {chosen[0]:.0f} -> {chosen[-1]:.0f}")
