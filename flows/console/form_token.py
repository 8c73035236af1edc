"""Tokens of forms, against requests that another page sends with the browser's cookie.

The door already refuses a request of another origin (Origin, Fetch Metadata, a cookie that is SameSite=Strict); the
token is the second lock. It is an HMAC under the project's secret over the cookie that the page was read with, so it is
of no use with another cookie; where people log in by name and password, over the name.
"""

from __future__ import annotations

from starlette.requests import Request

from components.access import cookie, project_door
from components.access import secret as secrets
from components.access.people_door import USER

FIELD = "token"
_PURPOSE = "console form"


def of(request: Request, secret: str) -> str:
    """The token of the forms of a page that this request reads."""
    if USER in request.scope:
        return secrets.sign(secret, _PURPOSE, f"user {request.scope[USER]}")
    return secrets.sign(secret, _PURPOSE, request.cookies.get(cookie.name(project_door.project_id(secret)), ""))


def is_valid(request: Request, secret: str, sent: str) -> bool:
    """Whether a form that was sent came from a page of ours.

    A request without a cookie is not a browser's of a person who is logged in: the door has checked its secret. Where
    people log in by name and password, which browsers send by themselves, it is one without the headers of a browser.
    """
    if USER in request.scope:
        is_browser = bool({"origin", "sec-fetch-site"} & set(request.headers.keys()))
        return not is_browser or secrets.matches(sent, of(request, secret))
    if "cookie" not in request.headers and "authorization" in request.headers:
        return True
    return secrets.matches(sent, of(request, secret))
