"""Exact nearest-neighbour search: in blocks with torch, with faiss, and fused on a GPU."""

BACKENDS = ("torch", "faiss", "fused")
"""Names of the backends, for modules that do not import torch."""
