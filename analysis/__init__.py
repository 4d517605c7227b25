"""Reads results folders and nothing else: tables, leaderboards and figures. Never imports torch."""

if __name__ != "nsbench.analysis":
    raise ImportError(f"import nsbench.analysis, not {__name__}")
