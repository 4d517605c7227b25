"""Figures by name, each drawn from a table that is stored next to it as CSV."""
