"""MLflow, and only here: runs, models, versions, aliases. Light: speaks the REST API, does not import mlflow."""
