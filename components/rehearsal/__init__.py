"""Rehearse a monitoring policy: months of traffic by a simulated clock, decided by the code of production."""
