"""From a matrix file to cells: settings, expansion, cost estimates, shipped suites."""
