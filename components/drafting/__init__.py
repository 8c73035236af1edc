"""A first draft of a dataset and its pipeline from the data: its layout, its task, its expectations.

    files ─► recognise ─► dataset.yaml ─► ingestion reads all samples ─► profile ─► expectations.json, README.md,
                                                                                    pipeline

The settings are the defaults of the task. The files are for a person to read and correct.
"""
