"""Production follows the registry: the watcher that sees a difference, and the Prefect flow that carries it out."""
