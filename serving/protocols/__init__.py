"""Protocols of other servers, spoken by the same service: each turns its requests into those of the `Answerer`."""
