"""The account with which the platform's own processes use an MLflow that has users.

Its password follows from the project's secret and stands nowhere else. It is an administrator of that MLflow: whoever
can read the secret may do everything there.
"""

from __future__ import annotations

import re

from components.access import secret as secrets
from components.access.project_door import project_id
from components.access.secret import Credentials

_PREFIX = "modelyard-"
_PURPOSE = "mlflow"


def name_of(secret: str) -> str:
    """The account's user name; it tells nothing about the secret."""
    return _PREFIX + project_id(secret)


def credentials(secret: str) -> Credentials:
    """User name and password."""
    return Credentials(name_of(secret), secrets.sign(secret, _PURPOSE, "password of the service account"))


def form_key(secret: str) -> str:
    """The key of MLflow's forms (CSRF)."""
    return secrets.sign(secret, _PURPOSE, "key of forms")


def is_name(user: str) -> bool:
    """Whether a user name is that of a service account, of this project or another one."""
    return re.fullmatch(_PREFIX + r"[0-9a-f]{8}", user) is not None
