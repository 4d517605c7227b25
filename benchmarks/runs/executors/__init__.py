"""Executors, which start cells: worker processes, one GPU for several, Slurm, Ray, torchrun."""
