"""Where cells run: worker processes, one GPU for several, Slurm, Ray, torchrun."""
