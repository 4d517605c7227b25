"""Pairs before training: what they hold, how hard their candidates are, and parts without leaks."""
