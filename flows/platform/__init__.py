"""The platform: starts and connects to Prefect, MLflow, the runner, the controller and model services."""
