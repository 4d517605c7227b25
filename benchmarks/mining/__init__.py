"""Candidates from a whole corpus: dense and BM25 sources, clusters, guides."""
