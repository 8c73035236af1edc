"""Gates that a version must pass before it serves: integrity, floors, champion, parity, latency."""
