"""From prepared data to trained weights: training loop, optimizers, schedules, checkpoints, export."""
