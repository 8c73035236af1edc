"""Requests to Prefect's REST API that wait while the server is busy; importing Prefect itself takes seconds."""

from __future__ import annotations

from typing import Any, Self

import httpx
from tenacity import Retrying, retry_if_exception_type, retry_if_result, stop_after_delay, wait_exponential_jitter

from components.access.secret import Credentials
from components.core.errors import StackError
from components.core.log import Log
from flows.platform import connections

BUSY = (429, 502, 503, 504)
PATIENCE_SECONDS = 90.0
TIMEOUT_SECONDS = 20.0
QUIET_SECONDS = 2.0
# The server ended during the request: another one on the same port answers, or one that is started again.
CUT_OFF = (httpx.ReadTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


def _silent(_: str) -> None:
    """Retries are not told."""


class PrefectClient:
    """A client for idempotent requests, which are repeated while Prefect is busy.

    While another writer locks its SQLite database, Prefect answers 503 or waits up to a minute. A request whose server
    is killed is sent again.

    Args:
        url: of the API, `http://host:port/api`.
        log: called when a request has been repeated for some seconds.
    """

    def __init__(self, credentials: Credentials | None, url: str, log: Log = _silent) -> None:
        self._log = log
        self._client = connections.client(credentials, url, timeout=TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def request(self, method: str, path: str, body: object = None, *, missing_is_fine: bool = False) -> Any:
        """The answer's JSON; None if it has none.

        Args:
            missing_is_fine: whether None is returned where Prefect answers 404.

        Raises:
            StackError: Prefect rejected the request, or did not answer.
        """
        retrying = Retrying(
            retry=retry_if_result(lambda answer: answer.status_code in BUSY) | retry_if_exception_type(CUT_OFF),
            stop=stop_after_delay(PATIENCE_SECONDS),
            wait=wait_exponential_jitter(multiplier=0.2, max=2),
            before_sleep=lambda state: self._wait(state.seconds_since_start or 0.0),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        try:
            response = retrying(self._client.request, method, path, json=body)
            if missing_is_fine and response.status_code == httpx.codes.NOT_FOUND:
                return None
            response.raise_for_status()
        except httpx.HTTPStatusError as error:
            raise StackError(
                f"Prefect answered {error.response.status_code}",
                where=f"{method} {error.request.url}",
                got=error.response.text[:500],
            ) from error
        except httpx.HTTPError as error:
            raise StackError(
                "Prefect does not answer", where=path, got=error, next_step="`modelyard status`, then `modelyard up`"
            ) from error
        return response.json() if response.content else None

    def _wait(self, seconds: float) -> None:
        if seconds > QUIET_SECONDS:
            seconds_left = max(0.0, PATIENCE_SECONDS - seconds)
            self._log(f"Prefect is busy; retrying for up to {seconds_left:.0f} s")
