"""Comparisons: several models of one dataset, trained at equal budget and measured side by side."""
