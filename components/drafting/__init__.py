"""A first draft of a dataset and its pipeline, from the data itself: which task, how it lies, what to expect of it.

    files ─► recognise ─► dataset.yaml ─► ingestion reads all samples ─► look ─► expectations.json, README.md, pipeline

What is written is for a person to read and correct; from then on it is as if written by hand.
"""
