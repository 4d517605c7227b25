"""The command line of the analysis: leaderboard, plot, report, pack, merge, publish."""
