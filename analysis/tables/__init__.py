"""Tables computed from results and written: pools, leaderboard, bands, alarms, agreement."""
