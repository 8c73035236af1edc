"""What a training makes small, and the figure it is followed by: one objective a file (see objective.py)."""
