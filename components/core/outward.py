"""Proxy and certificate variables: set aside for requests to this machine, restored for downloads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

from components.core.errors import SourceError

VARIABLE = "MODELYARD_OUTWARD"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
NAMES = (*_PROXIES, *(name.upper() for name in _PROXIES), *_CERTIFICATES)


def set_aside(environment: MutableMapping[str, str]) -> None:
    """Move the proxy and certificate variables into `VARIABLE`, from which `restored` reads them.

    Clients of MLflow, Prefect and the services then connect to loopback addresses directly, without certificates.
    """
    variables = {name: value for name in NAMES if (value := environment.pop(name, None)) is not None}
    if VARIABLE in environment:  # set aside before: the current NO_PROXY is the value set below
        variables = {name: value for name, value in variables.items() if name.lower() != "no_proxy"}
    kept = {**_kept_variables(environment), **variables}
    if kept:
        environment[VARIABLE] = json.dumps(kept, sort_keys=True)
    for name in ("no_proxy", "NO_PROXY"):  # needed where the system settings, not a variable, name a proxy
        hosts = [host for host in kept.get(name, "").split(",") if host]
        environment[name] = "*" if "*" in hosts else ",".join(dict.fromkeys([*hosts, *LOOPBACK]))


@contextmanager
def restored() -> Iterator[None]:
    """Restore the variables that were set aside for the block, in which clients of external hosts are created.

    Raises:
        SourceError: SSL_CERT_FILE names no file.
    """
    kept = _kept_variables(os.environ)
    previous = {name: os.environ.get(name) for name in NAMES}
    try:
        if kept:
            _replace({name: kept.get(name) for name in NAMES})
        _check_certificates()
        yield
    finally:
        _replace(previous)


def _kept_variables(environment: MutableMapping[str, str]) -> dict[str, str]:
    variables: dict[str, str] = json.loads(environment.get(VARIABLE, "{}"))
    return variables


def _replace(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _check_certificates() -> None:
    file = os.environ.get("SSL_CERT_FILE")
    if file and not Path(file).is_file():
        raise SourceError(
            "the file of certificates does not exist",
            where="environment variable SSL_CERT_FILE",
            got=file,
            next_step="let SSL_CERT_FILE name a file of certificates (PEM), or unset it",
        )
