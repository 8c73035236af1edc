"""Scheduled looks at what serves, and what follows from an alarm."""
