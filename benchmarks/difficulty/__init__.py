"""How hard the chosen negatives are: statistics, histograms, probe, geometry, alarms."""
