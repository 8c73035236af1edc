"""Evaluation of a package on the frozen test split: metrics, slices, plots, model card, floors. Without torch."""
