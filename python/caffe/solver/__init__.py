"""Solvers: updates, learning rates, snapshots and resuming."""
