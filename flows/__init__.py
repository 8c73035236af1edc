"""WHEN: the Prefect flow, the local stack and the command line. No tensors, no data frames."""
