"""Batches whose rows were chosen for each other: from a graph of rows, or from a file."""
