"""Pipeline runs: fingerprints, the plan, the Prefect flow, schedules."""
