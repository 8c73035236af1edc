"""Rehearse a monitoring policy: months of traffic with a simulated clock, decided by the code that decides in production."""
