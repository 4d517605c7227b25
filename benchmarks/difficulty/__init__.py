"""Hardness of the chosen negatives: statistics, histograms, probe, geometry, alarms."""
