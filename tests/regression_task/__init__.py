"""A task from outside of this package with kinds of input and output of its own: a row of numbers -> one number.

`task.py` imports no torch; the loss, the graph builder, the network and the scorer are named there as `module:NAME`.
"""
