"""A sampler, an objective and an augmentation for nsbench."""
