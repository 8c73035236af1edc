"""Prepared data to trained weights: the loop, its optimizers and schedules, checkpoints, export."""
