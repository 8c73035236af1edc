"""The texts beside the platform's compose file."""

from __future__ import annotations

MODELYARD_TOML = """# Existing servers in place of those that `modelyard up` starts: the ones of the compose file.
[connections]
prefect = "http://prefect:4200/api"
prefect_credentials = {file = "/run/secrets/prefect-login"}
mlflow = "http://mlflow:5000"
mlflow_credentials = {file = "/run/secrets/mlflow-login"}
"""

README = """# The platform on one host

`compose.yaml` runs two API servers of Prefect behind HAProxy, with Redis between them, Prefect's background services,
MLflow with its own users, both on PostgreSQL, MLflow's artifacts in an S3 store (SeaweedFS), and Modelyard's runner and
controller for one project: a clone of Modelyard, whose folder is mounted at `/project`.

```sh
mkdir -m 0700 secrets && mkdir certificates
names="postgres-password redis-password s3-access-key s3-secret-key mlflow-session-key"
for name in $names; do openssl rand -hex 24 > secrets/$name; done
echo "modelyard:$(openssl rand -hex 24)" > secrets/prefect-login
echo "admin:$(openssl rand -hex 24)" > secrets/mlflow-login
chmod 0444 secrets/*
printf 'PROJECT=%s\\nPROJECT_USER=%s\\n' /path/to/the/project "$(id -u):$(id -g)" > .env
cat modelyard.toml >> /path/to/the/project/modelyard.toml  # where it has [connections] already: merge the lines
docker compose up --detach --build --wait
docker compose exec modelyard modelyard run digits
docker compose exec modelyard modelyard promote digits 1
docker compose restart prefect-1 && docker compose restart prefect-2
```

Prefect (4200) and MLflow (5000) are published on 127.0.0.1 of this host and ask for the logins in `secrets/`; put a
proxy with TLS before them. PostgreSQL, Redis and the store are reached by the other containers alone. The folder
`secrets` is closed to other users; the files in it are readable, because each container runs as a user of its own.

PostgreSQL and Redis that run elsewhere: name them in `.env`, write their passwords into `secrets`, and put the
certificates of the authorities that signed theirs into `certificates`, readable for all. PostgreSQL needs the user
`modelyard` with the databases `prefect`, `mlflow` and `mlflow_login`; Redis one database that nothing else uses, and
`maxmemory-policy noeviction`. The containers `postgres` and `redis` then run unused.

```sh
cat >> .env <<'END'
DATABASE=db.example:5432
PGSSLMODE=verify-full
PGSSLROOTCERT=/etc/modelyard/postgresql-ca.pem
REDIS=redis.example:6380/0
REDIS_TLS=yes
REDIS_CA=/etc/modelyard/redis-ca.pem
END
```

What this does not do:

- The controller's model services listen on loopback inside their container: gates and rehearsals use them. What others
  are to ask is deployed from its image: the compose file beside this folder, or another target of `modelyard deploy`.
- Datasets and bundles, the ledger and the artifact store of stages lie in the project's folder, not in S3. Back it up.
- Who set an alias is noted by the project's own MLflow server alone; here the ledger says that the registry asked.
- One host: PostgreSQL, Redis and the store run once. For more, name ones that run elsewhere, as above.
- The images of PostgreSQL, Redis, HAProxy and SeaweedFS are their makers'; name pinned ones with POSTGRES_IMAGE,
  REDIS_IMAGE, BALANCER_IMAGE and OBJECT_STORE_IMAGE.
"""
