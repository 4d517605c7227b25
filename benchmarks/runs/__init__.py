"""The life of a cell from claim to record, tuning studies, and the executors."""
