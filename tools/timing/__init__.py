"""Scripts that time the suite, each a command that prints ratios measured in one run.

``augmentations`` and ``difficulty`` time parts of a step, ``peers`` compares with other libraries,
``matrix`` whole cells, ``growth`` tells how time and memory grow, ``roofline`` how far from the
processor's limit a step is, and ``gpu`` checks and times all that is done for a device. With
``--out`` they keep what they measured as CSV.
"""
