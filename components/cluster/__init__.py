"""Calls of our functions as tasks of a Dask cluster, on this machine or behind an existing scheduler.

What is called reads and writes files and returns little, so that a call may be repeated on another worker. The stages
import this room by name, where a request asks for a cluster: what runs a call is no part of the code that makes a
result.
"""
