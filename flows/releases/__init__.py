"""Production follows the registry: the controller, the Prefect flow of a release, rollbacks, and the serving target."""
