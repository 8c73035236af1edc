"""`python -m components.registry.migrate`: the tables of MLflow's databases, before any server starts.

Makes them in an empty database of PostgreSQL, or brings them to this version of MLflow; one process at a time. With
`[people] enabled` also those of users and permissions.
"""

from __future__ import annotations

from components.access import server_database
from components.contracts import settings
from components.core.project import Project
from components.registry.server import store_of


def migrate(project: Project) -> None:
    """Make or upgrade the tables.

    Raises:
        SpecError, StackError: `modelyard.toml` or the credentials cannot be read, or the database does not answer.
    """
    from mlflow.store.db import utils

    found = settings.read(project.root)
    address = server_database.url(project, "mlflow", "postgresql")
    with server_database.first_start(address, str(found.servers.mlflow)):
        engine = utils.create_sqlalchemy_engine_with_retry(store_of(project))
        try:  # as `mlflow db upgrade`, which takes the URL with its password as an argument
            make = utils._initialize_tables if utils._is_empty_database(engine) else utils._upgrade_db
            make(engine)
            if found.people.enabled:
                from mlflow.server.auth.db import utils as auth_utils

                auth_utils.migrate_if_needed(engine, "head")
        finally:
            engine.dispose()


if __name__ == "__main__":
    migrate(Project.find())
