"""Trained cells as sentence-transformers models, averages of seeds, and uploads to the hub."""
