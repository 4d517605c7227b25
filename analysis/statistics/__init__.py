"""Statistics as pure functions of arrays: intervals, tests, ranks."""
