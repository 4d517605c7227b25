"""A negative-sampling research benchmark suite for text embeddings."""
