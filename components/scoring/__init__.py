"""Batch scoring: a bundle's predictor over files, folders, tables and datasets, in parallel processes.

The input is cut into pieces, by its content alone. Each piece becomes a part of the output: its predictions, the rows
of its inputs as the prediction log has them, and what could not be scored. A part is written by one process,
atomically, with a seal that names the content it was made of. A run that was killed makes only the parts that are
missing; the output is the same, byte for byte, however often a run was killed and however many processes scored.
"""
