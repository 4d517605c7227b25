"""Train one cell: phases, the training loop, one step, optimizer, snapshots."""
