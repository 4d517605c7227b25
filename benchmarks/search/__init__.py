"""Exact nearest-neighbour search: in blocks with torch, with faiss, and fused on a GPU."""
