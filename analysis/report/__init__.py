"""The HTML report, and published results with their packed records."""
