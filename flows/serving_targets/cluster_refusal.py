"""What an API server means by an answer that is an error: who refuses, and whether that is only for now.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import http
import json

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
