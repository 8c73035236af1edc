"""The chain of proof: from a bundle, a version or a running service back to data, run, code and lock."""
