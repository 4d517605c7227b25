"""Registers the sampler ``pml_miner``; named by ``--plugin-path``, as its library is optional.

Source: Musgrave et al. 2020, PyTorch Metric Learning. https://arxiv.org/abs/2008.09164
"""

from nsbench.benchmarks.adapters.pytorch_metric_learning import PmlMiner
from nsbench.samplers import register

register("pml_miner")(PmlMiner)
