"""Files that put a recommendation to use: ``recipe.toml``, ``mine.sh`` and ``train.py``."""

import shlex
from pathlib import Path

import tomli_w

from nsbench.analysis.recommend.arms import CLOSED_FORM, IN_BATCH, Arm
from nsbench.analysis.recommend.cells import TEST, Setting
from nsbench.analysis.recommend.decide import Decision
from nsbench.analysis.recommend.plan import FRESH_SEEDS, Plan
from nsbench.benchmarks.files import write_atomically

MINES = {"corpus_negatives": "model", "bm25": "bm25"}
"""Samplers that mine, and the source by the names of ``nsbench mine``."""


def hand_over(setting: Setting, plan: Plan, decision: Decision, *, model: str) -> list[Path]:
    """Write the files, and return their paths.

    The name of the model is the one that ``nsbench mine`` and ``train.py`` take; empty for words.
    """
    arm, folder = decision.chosen.arm, setting.folder
    files = {
        "recipe.toml": recipe(setting, plan, arm),
        "mine.sh": mine_script(arm, model),
        "train.py": train_script(setting, plan, decision, model),
    }
    for name, text in files.items():
        write_atomically(folder / name, text)
    return [folder / name for name in files]


def recipe(setting: Setting, plan: Plan, arm: Arm) -> str:
    """Return a matrix file with the chosen recipe next to in_batch; paths start at its folder."""
    steps, rate = plan.steps, plan.learning_rate
    matrix = setting.matrix(arm, part=TEST, steps=steps, learning_rate=rate, seeds=FRESH_SEEDS)
    matrix["name"] = "recipe"
    matrix["description"] = "The recommended recipe next to in_batch."
    matrix["samplers"] = [arm.entry, *([] if arm.sampler == "in_batch" else [IN_BATCH.entry])]
    matrix["no_training"] = True
    matrix["data"][0]["path"] = "data/train"
    matrix["evaluation"]["tasks"][0]["path"] = "data/test"
    return tomli_w.dumps(matrix)


def mine_script(arm: Arm, model: str) -> str:
    """Return a shell script that writes the recipe's negatives as a data set."""
    head = (
        '#!/bin/sh\n# Mine the recommended negatives as a data set.\nset -e\ncd "$(dirname "$0")"\n'
    )
    source = MINES.get(arm.sampler)
    if source is None or (source == "model" and not model):
        why = "without a model" if source else "which takes its negatives from the batch"
        why = "which needs no negatives" if arm.sampler == CLOSED_FORM.sampler else why
        return f"{head}echo 'The recommended recipe is {arm.sampler}, {why}: nothing to mine.'\n"
    given = arm.parameters
    words = ["nsbench", "mine", "data/train", "--out", "data/mined", "--source", source]
    words += ["--negatives", str(given["k"]), "--pick", "random", "--shortage", "pad_random"]
    words += ["--format", "n-tuple"]
    margin = given.get("relative_margin")
    if source == "model":
        words += ["--model", model]
    if margin is not None:
        words += ["--relative-margin", f"{margin:g}"]
    else:
        words += ["--range-max", str(max(20, int(given["k"])))]
    return head + shlex.join(words) + ' "$@"\n'


def train_script(setting: Setting, plan: Plan, decision: Decision, model: str) -> str:
    """Return a complete sentence-transformers script of the recipe."""
    arm = decision.chosen.arm
    mines = arm.sampler in MINES
    values = {
        "MODEL": model,
        "SAMPLER": "in_batch" if mines else arm.shown,
        "TEMPERATURE": arm.temperature,
        "MINED": mines,
        "NEGATIVES": int(arm.parameters.get("k", 0)) if mines else 0,
        "STEPS": plan.steps if arm.trains else 0,
        "CLOSED_FORM": arm.sampler == CLOSED_FORM.sampler,
        "BATCH_SIZE": setting.batch_size,
        "LEARNING_RATE": plan.learning_rate,
        "MAX_LENGTH": setting.max_length,
        "PROMISE": tuple(round(v, 2) for v in decision.promise),
    }
    lines = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    return _TRAIN.replace("# SETTINGS\n", lines + "\n")


_TRAIN = '''"""Train the recommended recipe with sentence-transformers; score it on the test part.

    pip install 'nsbench[st]'
    python train.py

The model is saved in ``model``. The last line compares its score with the promised one.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.evaluation import InformationRetrievalEvaluator

from nsbench.benchmarks.adapters.sentence_transformers import NegativeSamplingLoss, ProgressCallback
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.encoders.pretrained import guide_spec
from nsbench.benchmarks.export.sentence_transformer import to_sentence_transformer
from nsbench.benchmarks.training.projection import relevant_components

# SETTINGS
SEED = 1
HERE = Path(__file__).resolve().parent


def folder(name):
    """Queries, documents and relevant pairs of a part of the data."""
    part = HERE / "data" / name
    texts = []
    for file in ("queries.jsonl", "corpus.jsonl"):
        with (part / file).open(encoding="utf-8") as lines:
            texts.append({row["_id"]: row["text"] for row in map(json.loads, lines)})
    pairs = {}
    with (part / "qrels" / f"{name}.tsv").open(encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            query, document, grade = line.rstrip("\\n").split("\\t")
            if int(grade) > 0:
                pairs.setdefault(query, []).append(document)
    return (*texts, pairs)


def base_model(texts):
    """The model before training."""
    kind, params = guide_spec(MODEL) if MODEL else ("static", {})
    if kind == "transformer" and set(params) == {"source"}:
        model = SentenceTransformer(params["source"], trust_remote_code=False)
        model.max_seq_length = MAX_LENGTH
        return model
    return to_sentence_transformer(encoders.make(kind, **params).build(texts, SEED))


def mined_negatives():
    """Negatives of every pair that ``mine.sh`` writes, by query and document."""
    subprocess.run(["sh", str(HERE / "mine.sh"), "--overwrite"], check=True)
    out = {}
    with (HERE / "data/mined/train.jsonl").open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            names = [n for n in row if n.startswith("negative")]
            out[row["anchor"], row["positive"]] = [row[n] for n in names]
    return out


def rows(queries, documents, relevant):
    """One row for every example of the training: each query in turn, one positive at random."""
    rng = np.random.default_rng(SEED)
    mined = mined_negatives() if MINED else {}
    names, order, out = sorted(relevant), [], []
    for _ in range(STEPS):
        if len(order) < BATCH_SIZE:
            order = list(rng.permutation(len(names)))
        batch, order = order[:BATCH_SIZE], order[BATCH_SIZE:]
        for place in batch:
            found = relevant[names[place]]
            anchor = queries[names[place]]
            positive = documents[found[rng.integers(len(found))]]
            negatives = mined.get((anchor, positive), [])
            out.append([anchor, positive, *negatives])
    columns = ["anchor", "positive", *(f"negative_{i + 1}" for i in range(NEGATIVES))]
    if MINED:
        out = [row for row in out if len(row) == len(columns)]
    return Dataset.from_dict({name: [row[i] for row in out] for i, name in enumerate(columns)})


def train(model):
    """Train the model in place."""
    queries, documents, relevant = folder("train")
    known = [(queries[q], documents[d]) for q, found in relevant.items() for d in found]
    data = rows(queries, documents, relevant)
    loss = NegativeSamplingLoss(
        model,
        SAMPLER,
        f"info_nce[temperature={TEMPERATURE}]",
        pairs=tuple(zip(*known, strict=True)),
        seed=SEED,
    )
    arguments = SentenceTransformerTrainingArguments(
        str(HERE / "model" / "checkpoints"),
        max_steps=STEPS,
        per_device_train_batch_size=BATCH_SIZE,
        dataloader_drop_last=True,
        learning_rate=LEARNING_RATE,
        warmup_steps=-(-STEPS // 10),
        max_grad_norm=1.0,
        seed=SEED,
        save_strategy="no",
        report_to="none",
        logging_steps=max(1, STEPS // 10),
    )
    trainer = SentenceTransformerTrainer(model, arguments, train_dataset=data, loss=loss)
    trainer.add_callback(ProgressCallback(loss))
    trainer.train()


def project(model):
    """Map the token table once, so that pairs come close: no step is taken."""
    queries, documents, relevant = folder("train")
    known = [(queries[q], documents[d]) for q, found in relevant.items() for d in found]
    left, right = (
        model.encode(list(side), normalize_embeddings=True).astype(np.float64)
        for side in zip(*known, strict=True)
    )
    linear = torch.from_numpy(relevant_components(left - right, 0.1))
    table = model[0].embedding.weight
    with torch.no_grad():
        table.copy_(table.double() @ linear.to(table.device))


def score(model):
    """nDCG@10 on the locked part, in points."""
    queries, documents, relevant = folder("test")
    asked = {q: queries[q] for q in relevant}
    evaluator = InformationRetrievalEvaluator(
        asked,
        documents,
        {q: set(found) for q, found in relevant.items()},
        ndcg_at_k=[10],
        name="test",
        score_functions={"cosine": lambda a, b: unit(a) @ unit(b).T},
        write_csv=False,
    )
    return 100 * evaluator(model)["test_cosine_ndcg@10"]


def unit(points):
    """Rows of length 1."""
    return torch.nn.functional.normalize(torch.as_tensor(points).float(), dim=1)


if __name__ == "__main__":
    torch.manual_seed(SEED)
    texts = [*folder("train")[0].values(), *folder("train")[1].values()]
    model = base_model(texts)
    if CLOSED_FORM:
        project(model)
    elif STEPS:
        train(model)
    model.save(str(HERE / "model"))
    mean, low, high = PROMISE
    found = score(model)
    inside = "inside" if low <= found <= high else "outside"
    print(f"test nDCG@10 {found:.2f}: {inside} the promised {mean:.2f} [{low:.2f}, {high:.2f}]")
'''
