"""Contracts: the files that users write and the requests that processes send each other."""
