"""`modelyard.toml`: settings of a project that concern no single pipeline. The file and each section are optional."""

from __future__ import annotations

import ipaddress
import posixpath
import re
import time
import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from components.contracts.kubernetes_settings import KubernetesSettings
from components.contracts.runner_spec import RunSpec
from components.core.errors import Problem, SpecError
from components.core.strict import Strict

FILE_NAME = "modelyard.toml"
_EMPTY_SECONDS, _MISSING_SECONDS = 1.0, 0.03  # for which an editor that saves a file may leave it so
REDIS_PARAMETERS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")  # of redis-py: certificates are always verified
PREFECT_PARAMETERS = (  # of a database's URL that Prefect's driver can be told of; libpq has more
    "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "target_session_attrs", "application_name",
    "connect_timeout",
)  # fmt: skip


def server_url(text: str) -> str:
    """A URL without a slash at its end.

    Raises:
        ValueError: it is none, or holds credentials.
    """
    if re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", text) is None:
        raise ValueError("expected http://HOST[:PORT][/PATH] or https://..., without credentials")
    return text.rstrip("/")


def database_url(text: str) -> str:
    """The URL of a PostgreSQL database.

    Raises:
        ValueError: it is none, or holds credentials.
    """
    if re.fullmatch(r"postgres(ql)?://[^\s/@?#]+/[^\s/@?#]+(\?[^\s@#]*)?", text) is None or "password" in text.lower():
        raise ValueError("expected postgresql://HOST[:PORT]/DATABASE, without credentials")
    return text


def redis_url(text: str) -> str:
    """The URL of a database of Redis, with its number.

    Raises:
        ValueError: it is none, holds credentials, or has parameters other than those of certificates.
    """
    if re.fullmatch(r"rediss?://[^\s/@?#]+(/[0-9]+)?(\?[^\s@#]*)?", text) is None:
        raise ValueError("expected redis://HOST[:PORT][/NUMBER] or rediss://..., without credentials")
    unknown = [name for name, _ in parse_qsl(urlsplit(text).query, True) if name not in REDIS_PARAMETERS]
    if unknown or ("?" in text and text.startswith("redis://")):
        raise ValueError(f"after ? only rediss:// has parameters, and only {', '.join(REDIS_PARAMETERS)}: files (PEM)")
    return text


def _ip_address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise ValueError("expected an IPv4 address of that machine, as 10.0.0.11 or 0.0.0.0") from error


DatabaseUrl = Annotated[str, AfterValidator(database_url)]
RedisUrl = Annotated[str, AfterValidator(redis_url)]
ServerUrl = Annotated[str, AfterValidator(server_url)]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]+)?$")]
NOT_A_USER = frozenset({"host", "origin", "authorization", "cookie", "x-modelyard-proxy", "content-length"})


class CredentialSource(Strict):
    """Where the credentials of a server are read from; they never stand in this file.

    They are `user:password`, or a token, which has no colon.

    Args:
        env: the environment variable that holds them.
        file: the file that holds them; relative to the project, `~` is the home folder.
        prefect_secret: the block of type Secret that holds them, on the Prefect server that `[connections]` names.
    """

    env: str | None = None
    file: str | None = None
    prefect_secret: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(place is not None for place in (self.env, self.file, self.prefect_secret)) != 1:
            raise ValueError('expected {env = "NAME"}, {file = "PATH"} or {prefect_secret = "BLOCK"}')
        return self


class ConnectionSettings(Strict):
    """`[connections]`: existing servers, in place of those that `modelyard up` starts.

    Args:
        prefect: URL of Prefect's REST API, as in PREFECT_API_URL; it ends in /api.
        mlflow: URL of the MLflow server, as in MLFLOW_TRACKING_URI.
        ledger: PostgreSQL database of the release ledger, in place of the project's file, for controllers on several
            machines.
        studies: PostgreSQL database of the studies of `modelyard tune`, in place of the project's file.
        artifacts: the store through which artifacts reach other machines: a folder, or s3://BUCKET/FOLDER.
        share_results: whether trainings and evaluations that are in this store are taken from there, and put there.
    """

    prefect: ServerUrl | None = None
    prefect_credentials: CredentialSource | None = None
    mlflow: ServerUrl | None = None
    mlflow_credentials: CredentialSource | None = None
    ledger: DatabaseUrl | None = None
    ledger_credentials: CredentialSource | None = None
    studies: DatabaseUrl | None = None
    studies_credentials: CredentialSource | None = None
    artifacts: str | None = None
    share_results: bool = True

    @field_validator("prefect_credentials")
    @classmethod
    def _not_in_itself(cls, source: CredentialSource | None) -> CredentialSource | None:
        if source is not None and source.prefect_secret is not None:
            raise ValueError("Prefect's own credentials cannot lie in a block of that server: use env or file")
        return source


class OwnServerSettings(Strict):
    """`[servers]`: where the project's own servers keep what they know, in place of files.

    Args:
        prefect, mlflow: the databases, each server's its own; None: a file in `.modelyard`. Certificates are named in
            the URL, relative to the project: `?sslmode=verify-full&sslrootcert=FILE`.
        credentials: of both databases.
        artifacts: where MLflow keeps the artifacts of runs: s3://BUCKET/FOLDER, with credentials and server in the
            environment as AWS's tools have them, or an absolute folder; None: a folder in `.modelyard`.
        redis: messages, leases and background tasks of Prefect, which then runs as two API servers and one process of
            services; a database of Redis that nothing else uses, `rediss://...?ssl_ca_certs=FILE` with TLS. None: one
            process does all of it.
        redis_credentials: USER:PASSWORD, or the password alone.
    """

    prefect: DatabaseUrl | None = None
    mlflow: DatabaseUrl | None = None
    artifacts: Annotated[str, Field(pattern=r"^(s3://[^\s@?#]+|/[^\x00-\x1f]*)$")] | None = None
    credentials: CredentialSource | None = None
    redis: RedisUrl | None = None
    redis_credentials: CredentialSource | None = None

    @model_validator(mode="after")
    def _shared(self) -> Self:
        if self.redis is not None and self.prefect is None:
            raise ValueError('redis needs prefect = "postgresql://...": two API servers share one database')
        if self.redis_credentials is not None and self.redis is None:
            raise ValueError("redis_credentials needs redis")
        return self

    @model_validator(mode="after")
    def _parameters(self) -> Self:
        found = parse_qsl(urlsplit(self.prefect or "").query, keep_blank_values=True)
        unknown = [name for name, _ in found if name not in PREFECT_PARAMETERS]
        if unknown:
            raise ValueError(
                f"Prefect's driver does not know {', '.join(unknown)} in the URL of its database; "
                f"it knows {', '.join(PREFECT_PARAMETERS)}"
            )
        return self

    @model_validator(mode="after")
    def _two(self) -> Self:
        if self.prefect is not None and self.prefect == self.mlflow:
            raise ValueError("Prefect and MLflow need a database each: their tables have the same names")
        return self


class RetentionSettings(Strict):
    """`[retention]`: what `modelyard gc` keeps, and when it runs by itself.

    Args:
        cron: when the stack collects by itself; None: only `modelyard gc` does.
        rollback_targets: versions before the present champion that a rollback can go to, whose bundles stay.
        min_age_minutes: whatever was written later than this stays.
        reports_days: comparison reports, and reports of datasets that are gone, stay so long.
        logs_days: logs of programs that are gone, and rotated ones, stay so long; so do folders of jobs on other
            machines that nobody asked for again.
        requests_days: request files of stages stay so long.
        predictions_days: sealed hours of prediction logs stay so long; None: for good.
        data_cache: what of DVC's cache stays beside the workspace's data: that of every commit, of the tips of branches
            and tags, or nothing.
    """

    cron: str | None = None
    timezone: str = "UTC"
    rollback_targets: int = Field(default=3, ge=1)
    min_age_minutes: float = Field(default=60, ge=0)
    reports_days: float = Field(default=30, ge=0)
    logs_days: float = Field(default=14, ge=0)
    requests_days: float = Field(default=2, ge=0)
    predictions_days: float | None = Field(default=None, ge=1)
    data_cache: Literal["commits", "branches", "workspace"] = "commits"

    @model_validator(mode="after")
    def _schedule(self) -> Self:
        if self.cron is not None:
            from zoneinfo import ZoneInfo

            from cronsim import CronSim, CronSimError

            try:
                CronSim(self.cron, datetime.now(ZoneInfo(self.timezone)))
            except (CronSimError, KeyError, ValueError) as error:
                raise ValueError(f"expected a cron line and a time zone: {error}") from error
        return self


class SigningSettings(Strict):
    """`[signing]`: files of keys, relative to the project; `~` is the home folder.

    Args:
        key: private key (PEM, elliptic curve); every bundle that is built is signed with it.
        require: public key; a bundle that is not signed with its private key is not released.
    """

    key: str | None = None
    require: str | None = None


class PredictionSettings(Strict):
    """`[predictions]`: the prediction logs of all models.

    Args:
        push: whether sealed hours are copied to the artifact store (`[connections] artifacts`).
    """

    push: bool = False


class ConsoleSettings(Strict):
    """`[console]`: the web console.

    Args:
        buttons: whether its pages promote, roll back, approve and pause; else they show, and refuse the rest.
    """

    buttons: bool = True


class HostedSettings(Strict):
    """`[serving]`: services on several hosts.

    Args:
        absent_hosts: a release goes on while at most so many of the hosts do not answer; a rollback waits for none.
        lease_seconds: a host that hears nothing of what is in force for so long stops answering by itself; None: it
            goes on with what it has.
        lease_over: what it does then. `refuse`: it is not ready, and refuses requests; `unready`: it is not ready, so
            that a balancer asks the others, and answers the requests that come all the same.
    """

    absent_hosts: int = Field(default=0, ge=0)
    lease_seconds: Annotated[float, Field(ge=5, le=86_400)] | None = None
    lease_over: Literal["refuse", "unready"] = "refuse"

    @model_validator(mode="after")
    def _over(self) -> Self:
        if self.lease_seconds is None and "lease_over" in self.model_fields_set:
            raise ValueError("lease_over needs lease_seconds: without it a host's service has no lease")
        return self


ModelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]


def _as_tuple(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(f'expected a list, as ["{value}"]')
    return tuple(value) if isinstance(value, list) else value


class HostSettings(Strict):
    """`[hosts.NAME]`: a machine that serves models, in place of this one.

    Args:
        models: the models that it serves; None: all of them.
        ssh: what `ssh` takes: a name of ~/.ssh/config, or USER@HOST; None: this machine.
        folder: a clone on that machine, in which `make install` ran: its services are started there.
        listen: the IPv4 address on which its services listen; 0.0.0.0: all of the machine's.
        address: the name or address by which others reach it; None: `listen`, or the host's name for ssh.
        python: its interpreter; relative to the folder.
    """

    ssh: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@:%-]*$")] | None = None
    folder: Annotated[str, Field(pattern=r"^/[^\x00-\x1f\x7f:]*$"), AfterValidator(posixpath.normpath)]
    listen: Annotated[str, AfterValidator(_ip_address)] = "127.0.0.1"
    address: Annotated[str, Field(pattern=r"^[0-9A-Za-z.-]+$")] | None = None
    python: str = ".venv/bin/python"
    models: Annotated[tuple[ModelName, ...], BeforeValidator(_as_tuple)] | None = None

    def serves(self, model: str) -> bool:
        """Whether it is to serve a model."""
        return self.models is None or model in self.models


MachineName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]


class PeopleSettings(Strict):
    """`[people]`: who may promote and approve, by the users and permissions of MLflow.

    Args:
        enabled: whether they decide. The project's own MLflow and the console then ask everybody for name and password.
        unknown: what becomes of a promotion whose author is not known, as where an MLflow that somebody else runs does
            not say who set an alias.
        header: the header in which a proxy that has authenticated who asks (OpenID Connect, ...) says the user's name,
            such as X-Forwarded-User. It is believed of a request that also holds `proxy_secret`.
        proxy_secret: what the proxy sends in the header X-Modelyard-Proxy, at least 32 characters.
        hosts: names, as in `mlflow.example` or `mlflow.example:8443`, under which a proxy with TLS is reached.
    """

    enabled: bool = False
    unknown: Literal["refuse", "accept"] = "refuse"
    header: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z0-9-]*$")
    proxy_secret: CredentialSource | None = None
    hosts: list[HostName] = Field(default_factory=list)

    @model_validator(mode="after")
    def _of_use(self) -> Self:
        if not self.enabled and self.model_fields_set - {"enabled"}:
            names = ", ".join(sorted(self.model_fields_set - {"enabled"}))
            raise ValueError(f"{names} needs enabled = true: without it nobody's rights are asked for")
        if (self.header is None) != (self.proxy_secret is None):
            raise ValueError("header and proxy_secret go together: without the secret anybody could send the header")
        if self.header is not None and self.header.lower() in NOT_A_USER:
            raise ValueError(f"{self.header} has another meaning; expected a header of its own, as X-Forwarded-User")
        return self


class Settings(Strict):
    """The file."""

    connections: ConnectionSettings = ConnectionSettings()
    servers: OwnServerSettings = OwnServerSettings()
    retention: RetentionSettings = RetentionSettings()
    signing: SigningSettings = SigningSettings()
    predictions: PredictionSettings = PredictionSettings()
    console: ConsoleSettings = ConsoleSettings()
    serving: HostedSettings = HostedSettings()
    hosts: dict[MachineName, HostSettings] = Field(default_factory=dict)
    kubernetes: KubernetesSettings | None = None
    people: PeopleSettings = PeopleSettings()
    run: RunSpec = RunSpec()

    @model_validator(mode="after")
    def _each_folder_once(self) -> Self:
        places: dict[tuple[str | None, str], str] = {}
        for name, host in self.hosts.items():
            other = places.setdefault((host.ssh, host.folder), name)
            if other != name:
                raise ValueError(f"hosts {other} and {name} are one folder: a host has one of its own")
        return self

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.hosts and self.kubernetes is not None:
            raise ValueError("models are served on hosts or by a cluster: remove [kubernetes], or every [hosts.NAME]")
        if self.serving.lease_seconds is not None and not self.hosts:
            raise ValueError("[serving] lease_seconds is for hosts: name them, [hosts.NAME], or remove it")
        return self


def read(root: Path) -> Settings:
    """The settings of a project; the defaults where it has no file.

    Raises:
        SpecError: the file is empty, no TOML, or does not fit; all problems, with keys and lines.
    """
    path = root / FILE_NAME
    text = _text(path)
    if not text.strip() and path.exists():  # as a full disk or a save that was cut off leaves it
        raise SpecError(str(path), (Problem("", "the file is empty: put it back; without any settings, remove it"),))
    try:
        return Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise SpecError(str(path), (Problem("", f"not TOML: {error}", int(line[1]) if line else None),)) from error
    except RecursionError as error:
        raise SpecError(str(path), (Problem("", "not TOML: nested too deep"),)) from error
    except ValidationError as error:
        found = (_problem(detail, text) for detail in error.errors(include_url=False))
        raise SpecError(str(path), tuple(sorted(found, key=lambda problem: problem.line or 0))) from error


def _text(path: Path) -> str:
    """What the file says, "" without one.

    An editor that saves it leaves it empty or missing for a moment: without `ledger`, say, production would be kept in
    another place from then on. So a file that has just become so is read again.
    """
    begin = time.monotonic()
    while True:
        try:
            text = path.read_text(encoding="utf-8")
            changed, limit = path.stat().st_mtime, _EMPTY_SECONDS
        except FileNotFoundError:
            changed, limit = path.parent.stat().st_mtime if path.parent.is_dir() else 0.0, _MISSING_SECONDS
            text = ""
        except UnicodeDecodeError as error:
            raise SpecError(str(path), (Problem("", "not UTF-8 text", got=str(error)),)) from error
        if text.strip() or time.monotonic() - begin > limit or not 0 <= time.time() - changed < limit:
            return text
        time.sleep(0.005)


def _problem(detail: Any, text: str) -> Problem:
    located = [str(part) for part in detail["loc"]]
    at = tuple(located)
    if located[:1] == ["run"]:  # pydantic names the engine too, between the stage and its key
        at = tuple(located[:2] + located[3:])
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = f"unknown key; allowed: {', '.join(_keys(tuple(located[:-1])))}"
    shown = detail.get("input")
    is_secret = "without credentials" in message  # what was written may hold a password
    got = None if is_secret or detail["type"] in ("missing", "extra_forbidden") else repr(shown)
    return Problem(".".join(at), message, _line(at, text), got)


def _keys(at: tuple[str, ...]) -> list[str]:
    """The keys that are allowed in a section."""
    model: type[BaseModel] = Settings
    kinds: list[type[BaseModel]] = [model]
    for name in at:
        if name not in model.model_fields and kinds == [HostSettings]:  # the name of a host
            continue
        if name not in model.model_fields:  # of a section of several kinds, the one that the file names
            model = next((one for one in kinds if name in get_args(one.model_fields["runner"].annotation)), model)
            continue
        kinds = list(_models(model.model_fields[name]))
        model = kinds[0]
    return list(model.model_fields)


def _models(field: FieldInfo) -> Iterator[type[BaseModel]]:
    """The classes of models that a field may have."""
    waiting = [field.annotation]
    while waiting:
        annotation: Any = waiting.pop(0)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        waiting += get_args(annotation)


def _line(at: tuple[str, ...], text: str) -> int | None:
    """The line of a key; of its section's head where the key has no line of its own."""
    found, section = None, tuple[str, ...]()
    for number, line in enumerate(text.splitlines(), 1):
        if head := re.match(r"\s*\[([^\[\]]+)\]", line):
            section = tuple(part.strip() for part in head[1].split("."))
            found = number if section == at[: len(section)] else found
            continue
        inside = section == at[: len(section)] and len(at) > len(section)
        if inside and re.match(rf"\s*{re.escape(at[len(section)])}\s*[=.]", line):
            return number
    return found
