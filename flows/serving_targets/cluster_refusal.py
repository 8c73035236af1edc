"""What an API server means by an answer that is an error: who refuses, and whether that is only for now.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import http
import json
from collections.abc import Mapping
from typing import Any

FIRST_CHARACTERS = 100  # of an answer that is of no API server
CORE = "/api/v1/"  # every API server has these kinds
LONGEST_PAUSE_SECONDS = 2.0
HEAD_CHARACTERS, TAIL_CHARACTERS = 200, 400  # of a message: the object comes first, what is wrong with it last
# Of a collection that is not there: of a group that has other kinds, of a group that has none.
UNKNOWN_KIND = ("could not find the requested resource", "404 page not found")


def message(content: bytes) -> str:
    """What the API server says; its errors are objects of kind Status, but for a path that nothing serves."""
    try:
        said = str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        said = content.decode(errors="replace").strip()
    if len(said) <= HEAD_CHARACTERS + TAIL_CHARACTERS:
        return said
    return f"{said[:HEAD_CHARACTERS]} ... {said[-TAIL_CHARACTERS:]}"


def document(content: bytes) -> dict[str, Any] | None:
    """The object, or the list of them, that an answer is; None: it is none of an API server."""
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.keys() & {"kind", "metadata", "items"} else None


def is_of_overload(status: int, content: bytes) -> bool:
    """Whether the API server itself fails, or puts a request to a pod off: what a pod says is no object of kind Status.

    A pod that it does not reach is an answer of 502 and more.
    """
    is_failed = status in (http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.INTERNAL_SERVER_ERROR)
    return is_failed and (document(content) or {}).get("kind") == "Status"


def is_of_missing(path: str, content: bytes) -> bool:
    """Whether a 404 means that there is no such object, or no such kind: a gateway in between has a 404 of its own."""
    if document(content) is not None:
        return True
    said = message(content)
    return not path.startswith(CORE) and is_of_unknown_kind(http.HTTPStatus.NOT_FOUND, said)


def foreign_answer(status: int, headers: Mapping[str, str], content: bytes) -> str:
    """What came in place of an answer of an API server; without the query of an address, which may hold a secret."""
    if (place := headers.get("location")) is not None:
        return f"HTTP {status} to {place.partition('?')[0]}"
    said = " ".join(content[: 4 * FIRST_CHARACTERS].decode(errors="replace").split())[:FIRST_CHARACTERS]
    return f"HTTP {status}, {headers.get('content-type') or 'no content type'}: {said or 'nothing'}"


def failed_checks(content: bytes) -> str:
    """What an API server that is not ready waits for.

    https://kubernetes.io/docs/reference/using-api/health-checks/
    """
    failed = [line for line in content.decode(errors="replace").splitlines() if line.startswith("[-]")]
    return "; ".join(failed)[:500] or message(content)


def is_of_rights(status: int, said: str) -> bool:
    """Whether the account has no right to this; a 403 is of admission too (a quota, a policy, a webhook).

    https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
    """
    if status == http.HTTPStatus.FORBIDDEN:
        is_by_plugin = "is forbidden: " in said and 'is forbidden: User "' not in said
        return not (is_by_plugin or "denied the request" in said)
    return status == http.HTTPStatus.UNAUTHORIZED


def is_of_unknown_kind(status: int, said: str) -> bool:
    """Whether no definition names objects of this kind."""
    return status == http.HTTPStatus.NOT_FOUND and any(words in said for words in UNKNOWN_KIND)


def pause_seconds(retry_after: str) -> float:
    """When a request that was put off (HTTP 429), and not carried out, may be sent again.

    An API server does so under load, and after a start while it reads what is stored.
    https://kubernetes.io/docs/concepts/cluster-administration/flow-control/

    Args:
        retry_after: the header of this name.
    """
    return min(float(retry_after) if retry_after.isdigit() else 1.0, LONGEST_PAUSE_SECONDS)
