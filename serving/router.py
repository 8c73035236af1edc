"""Routes of the service: a path as it is written, or a pattern with named parts."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

from components.access.door import Scope
from serving.exchange import Answer, HttpRequest
from serving.problem import RefusedRequest

Handler = Callable[[HttpRequest], Awaitable[Answer]]
Routes = Mapping[str, Mapping[str, Handler]]  # a path, then a method in capitals

_PART = re.compile(r"\{(\w+)\}")


class Router:
    """Finds the handler of a request; a path as it is written comes before patterns.

    Args:
        routes: paths such as `/predict`, or `/v2/models/{name}/infer`: the handler finds the named parts in
            `scope["path_params"]`. A part matches anything without a slash.
    """

    def __init__(self, routes: Routes) -> None:
        self._exact = {path: methods for path, methods in routes.items() if "{" not in path}
        self._patterns = [(path, _compiled(path), methods) for path, methods in routes.items() if "{" in path]

    def route(self, path: str) -> str | None:
        """The path or the pattern of a route that a path matches; None where there is nothing."""
        if path in self._exact:
            return path
        return next((route for route, pattern, _ in self._patterns if pattern.fullmatch(path)), None)

    def handler(self, scope: Scope) -> Handler:
        """The handler of a request.

        Raises:
            RefusedRequest: 404, there is nothing at the path; 405, the path has no such method.
        """
        methods = self._exact.get(scope["path"])
        if methods is None:
            methods = self._matched(scope)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        handler = methods.get(method)
        if handler is None:
            allowed = ", ".join(methods)
            raise RefusedRequest(405, "method", "this path has no such method", got=method, expected=allowed)
        return handler

    def _matched(self, scope: Scope) -> Mapping[str, Handler]:
        for _, pattern, methods in self._patterns:
            if match := pattern.fullmatch(scope["path"]):
                scope["path_params"] = match.groupdict()
                return methods
        raise RefusedRequest(404, "path", "there is nothing at this path", got=scope["path"])


def _compiled(path: str) -> re.Pattern[str]:
    pieces = _PART.split(path)  # text, name, text, name, ..., text
    return re.compile("".join(f"(?P<{piece}>[^/]+)" if place % 2 else re.escape(piece)
                              for place, piece in enumerate(pieces)))  # fmt: skip
