"""Pipeline runs: fingerprints, the plan, the Prefect flow, the stage runner, schedules."""
