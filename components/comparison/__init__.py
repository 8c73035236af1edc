"""Compares models of one dataset: quality against parameters, training time, latency and size."""
