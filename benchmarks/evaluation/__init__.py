"""Scores of a checkpoint: own tests, local files, mteb tasks, leakage."""
