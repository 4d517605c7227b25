"""Mined negatives as a data set: `nsbench mine`, from any pairs and corpus, by any sampler."""

from nsbench.benchmarks.mining.dataset.mined_set import MinedSet, mine_set
from nsbench.benchmarks.mining.settings import FORMATS, PICKS, MineSettings

__all__ = ["FORMATS", "PICKS", "MineSettings", "MinedSet", "mine_set"]
