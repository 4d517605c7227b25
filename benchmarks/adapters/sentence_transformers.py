"""Any sampler with any objective as a loss of sentence-transformers, and what goes with it.

    loss = NegativeSamplingLoss(model, "semi_hard[margin=0.2]")
    trainer = SentenceTransformerTrainer(model, train_dataset=pairs, loss=loss)
    trainer.add_callback(DifficultyCallback(loss, trainer, every=50))

Source: the loss interface of sentence-transformers, Reimers and Gurevych 2019, Sentence-BERT.
https://arxiv.org/abs/1908.10084
"""

import importlib
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from nsbench.benchmarks.adapters._batch import (
    BatchKnown,
    BatchTokens,
    Features,
    pair_keys,
    token_hash,
)
from nsbench.benchmarks.adapters._callbacks import LOGGED, DifficultyCallback, Remine
from nsbench.benchmarks.contrast.context import (
    Further,
    Known,
    extend,
    lay_out,
    mask_candidates,
    owners,
)
from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.difficulty.statistics import statistics
from nsbench.benchmarks.objectives import Objective, objectives
from nsbench.benchmarks.seeds import seed_for
from nsbench.benchmarks.training.extras import Extras, spares_copies
from nsbench.benchmarks.training.learned import Numbers
from nsbench.benchmarks.training.step import embedded_of, row_losses
from nsbench.samplers import (
    EXTRAS,
    TEMPERATURE,
    Sampler,
    Selection,
    SimilarityContext,
    make,
    parse_choice,
)

__all__ = ["LOGGED", "DifficultyCallback", "NegativeSamplingLoss", "Remine"]


class NegativeSamplingLoss(nn.Module):
    """The engine's step, from embeddings to loss, as a loss module.

    Columns are anchor, positive and any number of negatives; negatives are candidates of all
    anchors, as in the engine. Texts with equal tokens, and pairs that are known, are never
    negatives of each other.

    Args:
        model: The `SentenceTransformer` in training.
        sampler: ``name[parameter=value]``, or a sampler.
        objective: Likewise; without one the sampler's own.
        directions: ``one``: anchors against positives; ``both``: all views against all others;
            ``auto`` what the objective estimates on.
        seed: Of samplers that draw.
        pairs: All known pairs of the training set, ``(anchors, positives)``: without them only
            those of the batch are known to be none.
        guide: A frozen `SentenceTransformer` with the same tokenizer, for samplers that need one.
        steps: Steps of the training, for curricula; `DifficultyCallback` sets it, too.

    Raises:
        ValueError: If a name is unknown, or the sampler needs what a loss cannot see: clusters,
            labels, or a pool of earlier batches.
    """

    def __init__(
        self,
        model: Any,
        sampler: str | Sampler = "in_batch",
        objective: str | Objective | None = None,
        *,
        directions: str = "auto",
        seed: int = 0,
        pairs: tuple[Sequence[str], Sequence[str]] | None = None,
        guide: Any = None,
        steps: int = 0,
    ) -> None:
        super().__init__()
        self.model = model
        self.sampler = _sampler(sampler)
        self.objective = _objective(objective, self.sampler)
        views = str(getattr(self.objective, "views", "one"))
        self.both = (views if directions == "auto" else directions) == "both"
        self.temperature = float(getattr(self.objective, "temperature", TEMPERATURE))
        self.seed = seed
        self.steps = steps
        self.step = 0
        self.measure = False
        self.measured: dict[str, Tensor] = {}
        self._guide = [guide]  # in a list: its weights are not ours to train or to save
        self._pairs = None if pairs is None else _known_pairs(model, pairs)
        self._generator: torch.Generator | None = None
        self.extras = _extras(self.sampler, self.objective, guide)
        self.numbers = Numbers(self.objective, torch.device("cpu"))  # trained with the model

    def forward(
        self, sentence_features: Iterable[Features], labels: Tensor | None = None
    ) -> Tensor:
        """The mean loss of a batch.

        Args:
            sentence_features: One tokenised column each for anchors, positives, negatives.
            labels: Not read.

        Returns:
            0-dim loss.
        """
        columns = [dict(f) for f in sentence_features]
        z = [
            functional.normalize(self.model(dict(f))["sentence_embedding"].float(), dim=-1)
            for f in columns
        ]
        total, context, selection = self.from_embeddings(z, columns)
        if self.measure:
            self.measured = statistics(context, selection, self.objective)
        if self.training and torch.is_grad_enabled():
            self.step += 1
        return total

    def from_embeddings(
        self, z: Sequence[Tensor], columns: Sequence[Features]
    ) -> tuple[Tensor, SimilarityContext, Selection]:
        """Loss, what the sampler saw, and what it chose.

        Args:
            z: Normalised ``(B, d)`` of anchors, positives, and each column of negatives.
            columns: Their tokens.
        """
        size, more = len(z[0]), len(z) - 2
        if more < 0:
            raise ValueError("this loss needs an anchor and a positive column")
        device = z[0].device
        hashes = torch.cat([token_hash(f) for f in columns])
        known = BatchKnown(hashes, size, self._pairs)
        texts = torch.arange(len(hashes), device=device)
        further = None
        if more:  # row by row, as the engine lays them out
            order = torch.arange(size * more, device=device).view(more, size).T.reshape(-1)
            owned = owners(size, more, 0, share="batch")
            further = Further(torch.cat(list(z[2:]))[order], texts[2 * size :][order], *owned)
        contrast = lay_out(
            z[0],
            z[1],
            texts[:size],
            texts[size : 2 * size],
            both=self.both,
            further=further,
        )
        live = contrast.anchors @ contrast.columns.T
        done = min(1.0, self.step / max(1, self.steps - 1)) if self.steps else 0.0
        context = SimilarityContext(
            similarity=live.detach(),
            positive=contrast.positive,
            negative_mask=mask_candidates(
                contrast, cast(Known, known), positive_copies=spares_copies(self.sampler)
            ).negative,
            progress=torch.tensor(done, device=device),
            generator=self._drawn_from(device),
            temperature=self.temperature,
        )
        if "token_overlap" in self.extras.needs:
            self.extras.world = _world(BatchTokens(columns))
        if "guide_similarity" in self.extras.needs:
            self.extras.guide = self._by_guide(columns)
        context = self.extras.add(context, contrast)
        synthesize = getattr(self.sampler, "synthesize", None)
        made = None
        if synthesize is not None:
            made = synthesize(context)
            context, live = extend(context, live, contrast.anchors, made)
        selection = self.sampler(context)
        embedded = embedded_of(contrast, live, (z[0], z[1]), made)
        total = row_losses(self.numbers.bound(), embedded, context, selection).mean()
        return total, context, selection

    def get_config_dict(self) -> dict[str, Any]:
        """Text of the model card on this loss."""
        return {
            "sampler": repr(self.sampler),
            "objective": repr(self.objective),
            "directions": "both" if self.both else "one",
            "seed": self.seed,
        }

    @property
    def citation(self) -> str:
        """The sampler's source."""
        module = importlib.import_module(type(self.sampler).__module__)
        return (module.__doc__ or "").strip()

    def _drawn_from(self, device: torch.device) -> torch.Generator:
        if self._generator is None or self._generator.device != device:
            self._generator = torch.Generator(device).manual_seed(seed_for(self.seed, "sampler"))
        return self._generator

    def _by_guide(self, columns: Sequence[Features]) -> Tensor:
        guide = self._guide[0]
        with torch.no_grad():
            found = [guide(dict(f))["sentence_embedding"].float() for f in columns]
        return functional.normalize(torch.cat(found), dim=-1)


def _sampler(given: str | Sampler) -> Sampler:
    if not isinstance(given, str):
        return given
    name, params = parse_choice(given)
    return make(name, **params)


def _objective(given: str | Objective | None, sampler: Sampler) -> Objective:
    if given is None:
        paired = getattr(sampler, "objective", "info_nce")
        name, params = (paired, {}) if isinstance(paired, str) else paired
        return objectives.make(name, **params)
    if isinstance(given, str):
        name, params = parse_choice(given)
        return objectives.make(name, **params)
    return given


def _world(tokens: Any) -> World:
    """The little of a cell's world that extras of a batch read."""
    return World(
        data=cast(TrainingData, None),
        encoder=cast(Any, None),
        tokens=tokens,
        device=torch.device("cpu"),
        batch_size=0,
        seed_for=lambda purpose: seed_for(0, purpose),
        embed=lambda encoder: torch.zeros(0),
        note=lambda name, value: None,
    )


def _extras(sampler: Sampler, objective: Objective, guide: Any) -> Extras:
    needs = frozenset(getattr(sampler, "needs", ())) | frozenset(getattr(objective, "needs", ()))
    unseen = {name for name in needs if name in EXTRAS and EXTRAS[name].of_data}
    if unseen:
        raise ValueError(
            f"{sampler!r} needs {', '.join(sorted(unseen))}, which a loss of sentence-transformers "
            "does not see: run it with `nsbench run`"
        )
    if "guide_similarity" in needs and guide is None:
        raise ValueError(f"{sampler!r} needs a guide: give one with guide=SentenceTransformer(...)")
    pool = getattr(sampler, "pool", "in_batch")
    pool = pool if isinstance(pool, str) else pool[0]
    if pool not in ("in_batch", "corpus"):
        raise ValueError(f"{sampler!r} is paired with the pool {pool}, which only a cell has")
    return Extras(sampler, _world(None), objective)


def _known_pairs(model: Any, pairs: tuple[Sequence[str], Sequence[str]]) -> Tensor:
    """``(2P,)`` keys of all pairs, by the model's own tokens."""
    sides = []
    for side in pairs:
        texts = list(side)
        blocks = [texts[i : i + 512] for i in range(0, len(texts), 512)]
        sides.append(torch.cat([token_hash(model.preprocess(b)) for b in blocks]))
    keys: Tensor = pair_keys(sides[0], sides[1]).unique()
    return keys
