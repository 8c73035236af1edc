"""What serves a model: the processes on this machine, or the same on several hosts."""
