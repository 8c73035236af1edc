"""Users of MLflow and what they may do, through MLflow's own REST API for users and permissions.

MLflow's permission on a registered model is the right: READ looks, EDIT trains and registers, MANAGE promotes and
approves. An administrator may do everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from components.core.errors import RegistryError, UsageError
from components.registry import tracking
from components.registry.api import Api, MissingError, TakenError

Right = Literal["look", "train", "promote", "approve"]
Level = Literal["READ", "EDIT", "MANAGE"]

LEVEL: dict[Right, Level] = {"look": "READ", "train": "EDIT", "promote": "MANAGE", "approve": "MANAGE"}
LEVELS = ("NO_PERMISSIONS", "READ", "USE", "EDIT", "MANAGE")  # each includes those before it
ADMINISTRATOR = "administrator"
EVERY_MODEL = "*"
MODEL, EXPERIMENT = "registered_model", "experiment"
_USERS, _PERMISSIONS = "/api/2.0/mlflow/users", "/api/3.0/mlflow/users/permissions"


@dataclass(frozen=True)
class Person:
    """A user.

    Args:
        grants: MLflow's permission by model; the model `*` stands for all of them.
    """

    name: str
    is_admin: bool
    grants: dict[str, str]


def level(api: Api, user: str, model: str) -> str | None:
    """A user's permission on a model, `administrator`, or None: there is no such user.

    Args:
        api: of an administrator.

    Raises:
        RegistryError: MLflow does not answer, or has no users.
    """
    try:
        if api.get("users/get", username=user)["user"]["is_admin"]:
            return ADMINISTRATOR
    except MissingError:
        return None
    query = {"username": user, "resource_type": MODEL, "resource_id": model}
    return str(api.request("GET", f"{_PERMISSIONS}/get", params=query)["permission"])


def includes(found: str | None, right: Right) -> bool:
    """Whether a permission gives a right; `DENY` and what is not known give none."""
    if found == ADMINISTRATOR:
        return True
    return found in LEVELS and LEVELS.index(found) >= LEVELS.index(LEVEL[right])


def current(api: Api) -> str:
    """The name of the user whose credentials `api` has.

    Raises:
        RegistryError: they are not right (HTTP 401), or MLflow does not answer.
    """
    return str(api.get("users/current")["user"]["username"])


def every(api: Api) -> list[Person]:
    """All users with their permissions, by name."""
    users = api.get("users/list")["users"]
    return [
        Person(str(user["username"]), bool(user["is_admin"]), _grants(api, str(user["username"])))
        for user in sorted(users, key=lambda user: str(user["username"]))
    ]


def add(api: Api, user: str, password: str) -> None:
    """Make a user, who may only look.

    Raises:
        UsageError: there is one of that name.
        RegistryError: the password does not fit MLflow's rules.
    """
    try:
        api.request("POST", f"{_USERS}/create", json={"username": user, "password": password})
    except TakenError as error:
        raise UsageError(
            f"there is a user {user} already", next_step=f"`modelyard people grant {user} --may ...` changes the rights"
        ) from error


def remove(api: Api, user: str) -> None:
    """Remove a user, with all permissions.

    Raises:
        MissingError: there is none.
    """
    api.request("DELETE", f"{_USERS}/delete", json={"username": user})


def set_password(api: Api, user: str, password: str) -> None:
    """Give a user another password; it counts at once.

    Raises:
        MissingError: there is no such user.
        RegistryError: the password does not fit MLflow's rules.
    """
    api.request("PATCH", f"{_USERS}/update-password", json={"username": user, "password": password})


def set_admin(api: Api, user: str, is_admin: bool) -> None:
    """Make a user an administrator, or take that away."""
    api.request("PATCH", f"{_USERS}/update-admin", json={"username": user, "is_admin": is_admin})


def grant(api: Api, user: str, model: str, right: Right) -> None:
    """Give a user a right on a model, or on all (`*`), in place of the one of before; also on its experiment.

    Raises:
        MissingError: there is no such user.
    """
    places = [(MODEL, model), *((EXPERIMENT, found) for found in _experiments(api, model))]
    for kind, place in places:
        body = {"username": user, "resource_type": kind, "resource_id": place}
        try:
            api.request("POST", f"{_PERMISSIONS}/revoke", json=body)
        except MissingError:
            api.get("users/get", username=user)  # the permission was missing, or the user
        # An experiment needs no MANAGE: that would let its runs be deleted by who only promotes.
        given = LEVEL[right] if kind == MODEL or right == "look" else "EDIT"
        api.request("POST", f"{_PERMISSIONS}/grant", json={**body, "permission": given})


def _experiments(api: Api, model: str) -> Iterable[str]:
    return (EVERY_MODEL,) if model == EVERY_MODEL else (tracking.experiment(api, model),)


def _grants(api: Api, user: str) -> dict[str, str]:
    found: dict[str, Any] = api.request("GET", f"{_PERMISSIONS}/list", params={"username": user})
    rows = [row for row in found["permissions"] if row["resource_type"] == MODEL]
    return {str(row["resource_pattern"]): str(row["permission"]) for row in rows}


def has_no_users(error: RegistryError) -> bool:
    """Whether the error says that this MLflow runs without users and permissions."""
    return error.got == "HTTP 404"  # no such path, rather than MLflow's answer that there is no such user
