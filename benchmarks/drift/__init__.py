"""Drift monitoring: false alarms, detection delay, and live comparisons, by simulation."""
