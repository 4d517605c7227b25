"""Any sampler with any objective as a loss of sentence-transformers, and what goes with it.

    loss = NegativeSamplingLoss(model, "semi_hard[margin=0.2]")
    trainer = SentenceTransformerTrainer(model, train_dataset=pairs, loss=loss)
    trainer.add_callback(DifficultyCallback(loss, trainer, every=50))

Source: the loss interface of sentence-transformers, Reimers and Gurevych 2019, Sentence-BERT.
https://arxiv.org/abs/1908.10084
"""

import importlib
import logging
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import Any, Unpack, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from nsbench.benchmarks.adapters._batch import BatchKnown, BatchTokens
from nsbench.benchmarks.adapters._cached import cached_loss
from nsbench.benchmarks.adapters._callbacks import LOGGED, DifficultyCallback, ProgressCallback
from nsbench.benchmarks.adapters._facts import Facts, KnownPairs, facts_of
from nsbench.benchmarks.adapters._gather import check_columns, gather_rows, processes
from nsbench.benchmarks.adapters._identity import Columns, carry_identity, hidden
from nsbench.benchmarks.adapters._options import (
    LossOptions,
    check_objective,
    check_options,
    freeze,
)
from nsbench.benchmarks.adapters._progress import UNKNOWN, Draws, count_steps
from nsbench.benchmarks.adapters._remine import Remine
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
from nsbench.benchmarks.training.losses import embedded_of, row_losses
from nsbench.samplers import (
    EXTRAS,
    TEMPERATURE,
    Sampler,
    Selection,
    SimilarityContext,
    samplers,
)

__all__ = [
    "LOGGED",
    "CachedNegativeSamplingLoss",
    "DifficultyCallback",
    "LossOptions",
    "NegativeSamplingLoss",
    "ProgressCallback",
    "Remine",
]

_log = logging.getLogger(__name__)


class NegativeSamplingLoss(nn.Module):
    """The engine's step, from embeddings to loss, as a loss module.

    Columns are anchor, positive and any number of negatives; negatives are candidates of all
    anchors, as in the engine. Equal texts, and pairs that are known, are never negatives of each
    other. Texts are compared as texts where features were made after the loss, by the trainer or
    by ``model.preprocess``; earlier ones are compared by the tokens of the text.

    A curriculum follows the optimizer's steps. Where features, draws and progress are to survive a
    checkpoint, add `ProgressCallback` or `DifficultyCallback` to the trainer. Evaluation, that is
    a pass without gradients or in eval mode, leaves draws, progress and measurements alone.

    Args:
        model: The `SentenceTransformer` in training.
        sampler: ``name[parameter=value]``, or a sampler.
        objective: Likewise; without one the sampler's own.
        options: See `LossOptions`.

    Raises:
        ValueError: If a name is unknown, an option out of range, or the sampler needs what a loss
            cannot see: clusters, labels, or a pool of earlier batches; if the objective does not
            fit the model, or learns numbers in processes that do not share a batch.
        TypeError: If there is no such option.
    """

    def __init__(
        self,
        model: Any,
        sampler: str | Sampler = "in_batch",
        objective: str | Objective | None = None,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__()
        check_options(options)
        guide, pairs = options.get("guide"), options.get("pairs")
        self.sampler = samplers.read(sampler) if isinstance(sampler, str) else sampler
        self.objective = _objective(objective, self.sampler)
        views = str(getattr(self.objective, "views", "one"))
        directions = options.get("directions", "auto")
        self.both = (views if directions == "auto" else directions) == "both"
        self.temperature = float(getattr(self.objective, "temperature", TEMPERATURE))
        self.seed = options.get("seed", 0)
        self.steps = options.get("steps", 0)
        self.step = 0
        self.told = False  # whether a callback has set the steps, and may set them again
        self.mini_batch_size = options.get("mini_batch_size") or 0
        self.gather_across_devices = bool(options.get("gather_across_devices", False))
        self.measure = False
        self.measured: dict[str, Tensor] = {}
        self._guide = [guide]  # in a list: its weights are not ours to train or to save
        self._pairs = None if pairs is None else KnownPairs(pairs)
        self.draws = Draws(seed_for(self.seed, "sampler"))
        self.extras = _extras(self.sampler, self.objective, guide)
        self.numbers = Numbers(self.objective, torch.device("cpu"))  # trained with the model
        self.model = model
        if guide is not None and model is not None:
            freeze(guide, model)
        check_objective(self.objective, model, apart=not self.gather_across_devices)
        if self.gather_across_devices and processes() == 1:
            _log.warning("gather_across_devices: there is one process, with nothing to gather")
        count_steps(self)

    @property
    def uses_gradient_cache(self) -> bool:
        """True if embeddings are made in chunks; MatryoshkaLoss asks."""
        return self.mini_batch_size > 0

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a new model is told to say which texts its features are of."""
        super().__setattr__(name, value)
        if name == "model" and value is not None:
            needs = self.extras.needs
            carry_identity(value, texts=self._guide[0] is not None, words="token_overlap" in needs)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        """Move the loss, and its guide with it."""
        if self._guide[0] is not None:
            self._guide[0]._apply(fn)
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's own

    def forward(
        self, sentence_features: Iterable[MutableMapping[str, Any]], labels: Tensor | None = None
    ) -> Tensor:
        """The mean loss of a batch.

        Args:
            sentence_features: One tokenised column each for anchors, positives, negatives.
            labels: Not read.

        Returns:
            0-dim loss.
        """
        columns = list(sentence_features)
        facts = self._facts(columns)
        if self.mini_batch_size:
            return cached_loss(self, columns, facts)
        embeddings = []
        for features in columns:
            with hidden(features):
                embeddings.append([self.model(features)["sentence_embedding"]])
        return self.calculate_loss(embeddings, facts)

    def calculate_loss(
        self, embeddings: Sequence[Sequence[Tensor]], facts: Facts, *, with_backward: bool = False
    ) -> Tensor:
        """0-dim loss of pooled embeddings.

        Args:
            embeddings: Of each column, in chunks of rows.
            facts: About the texts.
            with_backward: Send gradients to the embeddings, and return the loss without its graph.
        """
        z = [functional.normalize(torch.cat(list(c)).float(), dim=-1) for c in embeddings]
        if self.gather_across_devices:
            z = [gather_rows(column) for column in z]
        with torch.autocast(z[0].device.type, enabled=False):  # in float32, as the engine
            total, context, selection = self._contrasted(z, facts)
        if self._learning() and self.measure and not self.measured:
            self.measured = statistics(context, selection, self.objective)
        if with_backward:
            with torch.autocast(total.device.type, enabled=False):
                total.backward()
            total = total.detach()
        return total

    def _facts(self, columns: Columns) -> Facts:
        if len(columns) < 2:
            raise ValueError("this loss needs an anchor and a positive column")
        needs = self.extras.needs
        guide = self._guide[0] if "guide_similarity" in needs else None
        facts = facts_of(columns, self.model, words="token_overlap" in needs, guide=guide)
        if not self.gather_across_devices:
            return facts
        check_columns(len(columns), facts.hashes[0].device)
        return facts.gathered()

    def _contrasted(
        self, z: Sequence[Tensor], facts: Facts
    ) -> tuple[Tensor, SimilarityContext, Selection]:
        """Return the loss, what the sampler saw, and what it chose."""
        size, more = len(z[0]), len(z) - 2
        device = z[0].device
        hashes = torch.cat(list(facts.hashes)).to(device)
        pairs = self._pairs
        known = BatchKnown(
            hashes,
            size,
            None if pairs is None else pairs.keys(self.model, device, by_text=facts.by_text),
        )
        texts = torch.arange(len(hashes), device=device)
        further = None
        if more:  # row by row, as the engine lays them out
            order = torch.arange(size * more, device=device).view(more, size).T.reshape(-1)
            owned = owners(size, more, 0, share="batch", device=device)
            further = Further(torch.cat(list(z[2:]))[order], texts[2 * size :][order], *owned)
        sides = z[0], z[1], texts[:size], texts[size : 2 * size]
        contrast = lay_out(*sides, both=self.both, further=further)
        live = contrast.anchors @ contrast.columns.T
        context = SimilarityContext(
            similarity=live.detach(),
            positive=contrast.positive,
            negative_mask=mask_candidates(
                contrast, cast(Known, known), positive_copies=spares_copies(self.sampler)
            ).negative,
            progress=self._progress(device),
            generator=self.draws.on(device, learning=self._learning()),
            temperature=self.temperature,
        )
        if facts.words:
            self.extras.world = _world(BatchTokens(facts.words))
        if facts.guide:
            self.extras.guide = torch.cat(list(facts.guide))
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

    def _learning(self) -> bool:
        return self.training and torch.is_grad_enabled()

    def _progress(self, device: torch.device) -> Tensor:
        """0-dim share of the training; of unknown length, known at its first step only."""
        if not self.steps and self.step and self._learning():
            return UNKNOWN
        done = min(1.0, self.step / max(1, self.steps - 1)) if self.steps else 0.0
        return torch.tensor(done, device=device)

    def get_config_dict(self) -> dict[str, Any]:
        """Text of the model card on this loss."""
        return {
            "sampler": repr(self.sampler),
            "objective": repr(self.objective),
            "directions": "both" if self.both else "one",
            "seed": self.seed,
            "mini_batch_size": self.mini_batch_size,
            "gather_across_devices": self.gather_across_devices,
        }

    @property
    def citation(self) -> str:
        """The sampler's source."""
        module = importlib.import_module(type(self.sampler).__module__)
        return (module.__doc__ or "").strip()


class CachedNegativeSamplingLoss(NegativeSamplingLoss):
    """`NegativeSamplingLoss` with gradient caching, 32 texts at once unless told otherwise."""

    def __init__(
        self,
        model: Any,
        sampler: str | Sampler = "in_batch",
        objective: str | Objective | None = None,
        **options: Unpack[LossOptions],
    ) -> None:
        options.setdefault("mini_batch_size", 32)
        super().__init__(model, sampler, objective, **options)


def _objective(given: str | Objective | None, sampler: Sampler) -> Objective:
    if given is None:
        paired = getattr(sampler, "objective", "info_nce")
        name, params = (paired, {}) if isinstance(paired, str) else paired
        return objectives.make(name, **params)
    return objectives.read(given) if isinstance(given, str) else given


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
    unseen = needs & {"truth", *(name for name, extra in EXTRAS.items() if extra.of_data)}
    if unseen:
        raise ValueError(
            f"{sampler!r} with {objective!r} needs {', '.join(sorted(unseen))}, which a loss of "
            "sentence-transformers does not see: run it with `nsbench run`"
        )
    if "guide_similarity" in needs and guide is None:
        raise ValueError(f"{sampler!r} needs a guide: give one with guide=SentenceTransformer(...)")
    pool = getattr(sampler, "pool", "in_batch")
    pool = pool if isinstance(pool, str) else pool[0]
    if pool not in ("in_batch", "corpus"):
        raise ValueError(f"{sampler!r} is paired with the pool {pool}, which only a cell has")
    return Extras(sampler, _world(None), objective)
