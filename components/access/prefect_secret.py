"""Credentials in a block of type Secret on an existing Prefect server."""

from __future__ import annotations

import os
import time
from pathlib import Path

from components.access import named_credentials
from components.contracts import settings
from components.core.errors import StackError

URL_VARIABLE, CREDENTIAL_VARIABLE = "MODELYARD_PREFECT_API_URL", "MODELYARD_PREFECT_CREDENTIALS"
FRESH_SECONDS = 60.0  # for which a value that was read is not asked for again
TIMEOUT_SECONDS = 10.0
PATIENCE_SECONDS = 30.0  # for which Prefect may be busy

_known: dict[tuple[str, str], tuple[str, float]] = {}  # by server and block: the value, and when it was read


def read(root: Path, block: str, where: str) -> str:
    """The value of a block.

    A value that this process has read before is used while Prefect does not answer.

    Args:
        root: of the project whose `modelyard.toml` names the Prefect server.
        where: the setting that names the block, for errors.

    Raises:
        StackError: no Prefect server is named, it does not answer, or has no such block with a text in it.
    """
    found = settings.read(root).connections
    url = os.environ.get(URL_VARIABLE) or found.prefect
    if url is None:
        raise StackError(
            "prefect_secret needs a Prefect server that runs already",
            where=where,
            got=block,
            expected="[connections] prefect",
            next_step="name the server, or keep the credentials in {env = ...} or {file = ...}",
        )
    key = (url, block)
    value, read_at = _known.get(key, ("", -FRESH_SECONDS))
    if key in _known and time.monotonic() - read_at < FRESH_SECONDS:
        return value
    try:
        value = _ask(root, url, block, where)
    except ConnectionError as error:
        if key not in _known:
            raise StackError(
                "Prefect, which holds credentials, does not answer",
                where=f"{where}, {url}",
                got=error,
                next_step="start it, or name the credentials by {env = ...} or {file = ...}",
            ) from error
    _known[key] = value, time.monotonic()
    return value


def _ask(root: Path, url: str, block: str, where: str) -> str:
    import httpx
    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

    from components.access import http_client

    own = settings.read(root).connections.prefect_credentials
    credentials = named_credentials.read(root, "prefect", own, CREDENTIAL_VARIABLE)
    path = f"/block_types/slug/secret/block_documents/name/{block}"

    def ask(client: httpx.Client) -> httpx.Response:
        try:
            answer = client.get(path, params={"include_secrets": "true"})
        except httpx.HTTPError as error:
            raise ConnectionError(str(error) or type(error).__name__) from error
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error:
            raise ConnectionError(f"status {answer.status_code}")
        return answer

    retrying = Retrying(
        retry=retry_if_exception_type(ConnectionError),
        stop=stop_after_delay(0 if (url, block) in _known else PATIENCE_SECONDS),
        wait=wait_exponential_jitter(multiplier=0.2, max=2),
        reraise=True,
    )
    with http_client.client(credentials, url, timeout=TIMEOUT_SECONDS) as client:
        answer = retrying(ask, client)
    if not answer.is_success:
        raise StackError(
            "Prefect has no such secret block" if answer.status_code == httpx.codes.NOT_FOUND
            else "Prefect does not show a secret block",
            where=f"{where}, {url}",
            got=f"{block}: status {answer.status_code}",
            next_step=f'make it: `Secret(value="USER:PASSWORD").save("{block}")`, or on the page Blocks of Prefect',
        )  # fmt: skip
    try:
        value = answer.json()["data"]["value"]
    except (ValueError, KeyError, TypeError):  # a proxy's page, a block that was never filled
        value = None
    if not isinstance(value, str) or not value.strip():
        raise StackError(
            "a secret block of Prefect holds no text",
            where=f"{where}, {url}",
            got=f"{block}: {type(value).__name__}",
            expected="USER:PASSWORD, or a token",
        )
    return value.strip()
