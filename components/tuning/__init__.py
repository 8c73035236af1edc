"""A search over the keys of a pipeline with Optuna: what is tried next, what ends early, the record, the report."""
