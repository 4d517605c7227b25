"""Record a step and replay it without Python; interleave several trainings."""
