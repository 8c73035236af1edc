"""Asking Prefect's server as its own client does: again, while its SQLite is locked (503)."""

from __future__ import annotations

import time
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception_type, retry_if_result, stop_after_delay, wait_fixed

from tests.house import House
from tests.waiting import eventually


class Patient(httpx.HTTPTransport):
    """Asks again for up to a minute while Prefect's SQLite is locked: what was answered so has changed nothing."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        until = time.monotonic() + 60
        while True:
            response = super().handle_request(request)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > until:
                return response
            response.close()
            time.sleep(0.2)


def ask(house: House, method: str, url: str, body: object = None, *, missing: bool = False) -> Any:
    """The answer to a request, from JSON; None for an empty one.

    Args:
        missing: 404 is expected; the answer then is None too.
    """
    retrying = Retrying(
        retry=retry_if_result(lambda answer: answer.status_code == httpx.codes.SERVICE_UNAVAILABLE)
        | retry_if_exception_type(httpx.ReadTimeout),
        stop=stop_after_delay(60),
        wait=wait_fixed(0.1),
    )
    with house.client(url, timeout=30) as client:
        answer = retrying(client.request, method, url, json=body)
    if missing:
        assert answer.status_code == httpx.codes.NOT_FOUND, answer.text
        return None
    answer.raise_for_status()
    return answer.json() if answer.content else None


def run_deployment(house: House, name: str, patience_seconds: float = 150) -> dict[str, Any]:
    """Start a flow run of a deployment (`flow/deployment`) for the platform's runner; its state when it has ended."""
    services = {service["name"]: service for service in house.json_of_status()}
    api = f"{services['prefect']['url']}/api"
    deployment = ask(house, "GET", f"{api}/deployments/name/{name}")
    run = ask(house, "POST", f"{api}/deployments/{deployment['id']}/create_flow_run", {})["id"]

    def ended() -> dict[str, Any] | None:
        state: dict[str, Any] = ask(house, "GET", f"{api}/flow_runs/{run}")["state"]
        return state if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

    return eventually(ended, f"a flow run of {name} ends", patience_seconds)
