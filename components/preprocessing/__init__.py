"""From raw samples to arrays. Training and serving share this code."""
