"""Scripts that time the suite, each a command that prints ratios measured in one run.

``augmentations`` and ``difficulty`` time parts of a step, ``peers`` compares with other libraries,
``matrix`` times whole cells, ``growth`` fits the growth of time and memory, ``roofline`` compares a
step with the processor's limit, and ``gpu`` checks and times all that is done for a device. With
``--out`` they keep what they measured as CSV.
"""
