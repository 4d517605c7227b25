"""Trained cells as sentence-transformers models, and uploads to the hub."""
