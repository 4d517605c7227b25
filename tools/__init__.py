"""Developer tools: timings, fault injection, generated documents. Not part of the wheel."""
