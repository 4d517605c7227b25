"""Results folders as tables: records, scores, difficulty."""
