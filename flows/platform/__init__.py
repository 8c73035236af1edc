"""The platform: Prefect, MLflow, the runner of schedules and model services as processes, and where they are."""
