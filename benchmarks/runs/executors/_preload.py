"""Import what every cell needs, once, in the server that worker processes are forked from.

The server shares the output of the command that starts it. It stops importing once that command
has ended, and has little to clean up then, so that a reader of the output does not wait for it.
"""

import gc
import importlib
import os
import sys

NAMES = (
    "torch",
    "nsbench.benchmarks.runs.cell_run",
    "threadpoolctl",
    "transformers.tokenization_utils_tokenizers",
    "transformers.models.auto.tokenization_auto",
)
"""Modules that every cell imports sooner or later; none of them starts a thread on import."""

_parent = os.getppid()
gc.disable()  # a fifth of the time would go to searches for cycles among what stays
for _name in NAMES:
    importlib.import_module(_name)
    if os.getppid() != _parent:
        sys.exit()
# The search for cycles at the end of a process takes 0.7 s with torch.
gc.freeze()
gc.enable()
