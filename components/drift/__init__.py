"""Statistics of drift and of live quality: pure functions of tables and arrays, and states that are JSON."""
