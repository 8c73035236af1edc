"""Names and passwords of the console's users, as MLflow knows them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from urllib.parse import urlencode

import httpx

from components.access.secret import Credentials
from components.core.project import Project
from flows.platform import connections, people

KEPT_SECONDS = 30.0  # a password that was right is asked for again after this
MOST_KEPT = 1000
TIMEOUT_SECONDS = 10.0
PATH = "/api/2.0/mlflow/users"


class Logins:
    """Whether names and passwords are right; MLflow is asked, and what it found right is kept for a while."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._known: dict[bytes, float] = {}

    def are_right(self, user: str, password: str) -> bool:
        """Whether MLflow knows this user with this password; not while it does not answer."""
        login = Credentials(user, password)
        return self._remembered(f"{user}\n{password}", lambda: self._ask(login, "current", user))

    def are_known(self, user: str) -> bool:
        """Whether MLflow has a user of this name; not while it does not answer."""
        account = people.account(self._project)
        return self._remembered(user, lambda: self._ask(account, f"get?{urlencode({'username': user})}", user))

    def _remembered(self, text: str, ask: Callable[[], bool]) -> bool:
        known = hmac.new(self._key, text.encode(errors="surrogatepass"), hashlib.sha256).digest()
        with self._lock:
            if self._known.get(known, 0.0) > time.monotonic():
                return True
        if not ask():
            return False
        with self._lock:
            if len(self._known) >= MOST_KEPT:
                self._known.clear()
            self._known[known] = time.monotonic() + KEPT_SECONDS
        return True

    def _ask(self, login: Credentials | None, path: str, user: str) -> bool:
        server = connections.of(self._project).mlflow
        try:
            with connections.client(login, str(server.url), timeout=TIMEOUT_SECONDS) as http:
                answer = http.get(f"{PATH}/{path}")
                return answer.is_success and answer.json()["user"]["username"] == user
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return False
