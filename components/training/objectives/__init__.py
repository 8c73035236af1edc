"""Objectives: the loss of a training and the metric it is followed by, one for each module (see objective.py)."""
