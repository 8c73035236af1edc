"""The texts beside the platform's units."""

from __future__ import annotations

MODELYARD_TOML = """# Existing servers in place of those that `modelyard up` starts: the ones of the units.
[connections]
prefect = "http://127.0.0.1:4200/api"
prefect_credentials = {file = "/run/credentials/modelyard-project.service/prefect-login"}
mlflow = "http://127.0.0.1:5000"
mlflow_credentials = {file = "/run/credentials/modelyard-project.service/mlflow-login"}
"""

README = """# The platform on a server with systemd

`modelyard.target` runs two API servers of Prefect on one socket, Prefect's background services, MLflow with its own
users, and Modelyard's runner, controller, console and model services for one project. PostgreSQL, Redis and the S3
store are yours: `/etc/modelyard/platform.env` names them; edit it there. systemd 250 or later, Python 3.11; as root:

```sh
install -D -m 0644 modelyard-platform.conf /etc/sysusers.d/modelyard-platform.conf && systemd-sysusers
git clone REPOSITORY /opt/modelyard/platform && make -C /opt/modelyard/platform install
FSSPEC=$(/opt/modelyard/platform/.venv/bin/python -c 'import fsspec; print(fsspec.__version__)')
/opt/modelyard/platform/.venv/bin/pip install boto3 "s3fs==$FSSPEC"  # the two are released together
git clone REPOSITORY /srv/modelyard
cat modelyard.toml >> /srv/modelyard/modelyard.toml  # where it has [connections] already: merge the lines
chown -R modelyard: /srv/modelyard
install -D -m 0755 -t /opt/modelyard/bin bin/*
test -e /etc/modelyard/platform.env || install -D -m 0644 platform.env /etc/modelyard/platform.env
install -d -m 0700 /etc/modelyard/secrets
for name in postgres-password redis-password s3-access-key s3-secret-key mlflow-session-key; do
  openssl rand -hex 24 > /etc/modelyard/secrets/$name
done
echo "modelyard:$(openssl rand -hex 24)" > /etc/modelyard/secrets/prefect-login
echo "admin:$(openssl rand -hex 24)" > /etc/modelyard/secrets/mlflow-login
install -D -m 0644 -t /etc/systemd/system modelyard.target modelyard-prefect.socket modelyard-*.service
systemctl daemon-reload && systemctl enable --now modelyard.target
systemctl list-dependencies modelyard.target
```

Where PostgreSQL, Redis or the store have passwords already, write those into the files. PostgreSQL needs the user
`modelyard` and its databases `prefect`, `mlflow` and `mlflow_login`; Redis one database that nothing else uses, and
`maxmemory-policy noeviction`; the store the bucket that `ARTIFACTS` names. Passwords in URLs: letters and digits.

With servers on other machines, TLS: put the certificate of the authority that signed theirs below `/etc/modelyard`
(`install -m 0644 ca.pem /etc/modelyard/postgresql-ca.pem`; the units see no home folder), and take the `#` from
`PGSSLMODE` and `PGSSLROOTCERT`, `REDIS_TLS` and `REDIS_CA`. Without `REDIS_CA` those that the system trusts count. A
ledger or studies on such a server: `?sslmode=verify-full&sslrootcert=/etc/modelyard/postgresql-ca.pem` in the URL.

```sh
sudo -u modelyard env -C /srv/modelyard PYTHONPATH=/srv/modelyard /opt/modelyard/platform/.venv/bin/modelyard run digits
systemctl restart modelyard-prefect-api@1 && systemctl restart modelyard-prefect-api@2
journalctl -u modelyard-prefect-api@1 -u modelyard-mlflow
```

Prefect (4200) and MLflow (5000) listen on 127.0.0.1 and ask for the logins in `/etc/modelyard/secrets`; put a proxy
with TLS before them. `systemd-analyze security 'modelyard-*'` judges the units. `modelyard-migrations.service` makes
and upgrades the tables before any server starts; after a new version of the code:
`systemctl restart modelyard-migrations.service modelyard.target`.

What this does not do:

- An API server that hangs, and does not end, holds the connections that it has accepted.
- Datasets and bundles, the ledger and the artifact store of stages lie in `/srv/modelyard`, not in S3. Back it up.
- Who set an alias is noted by the project's own MLflow server alone; here the ledger says that the registry asked.
- The runner, the controller, the console and the model services are one unit: the stack's supervisor restarts each, and
  `modelyard status` shows them.
"""
