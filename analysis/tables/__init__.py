"""What is computed from results: pools, leaderboard, bands, alarms, agreement."""
