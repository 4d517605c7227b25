"""Shipped boards: tuning studies with a place in the summary of results; `nsbench tune NAME`."""
