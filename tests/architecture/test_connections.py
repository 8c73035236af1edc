"""HTTP clients are made in one place, and servers' ports are known in one place: read from the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("flows", "components", "serving")

# Every other module that speaks HTTP, and why it does not take a client of the factory.
CLIENTS = {
    "components/access/http_client.py": "the factory",
    "components/access/challenge.py": "asks a server who it is before any credentials are sent; imports no library",
    "components/deployment/ready.py": "copied beside systemd units, where it stands alone: asks the unit's own service",
    "components/ingestion/download.py": "sources in the network: no server of ours, and proxies apply",
    "components/gates/endpoint.py": "a candidate's endpoint in a process of its own, on a port that the gate has bound",
    "components/gates/parity.py": "the same endpoint",
    "flows/platform/health.py": "whether a port answers at all; imports no library",
    "flows/platform/supervisor.py": "the supervisor's Unix socket",
}
PORTS = {
    "flows/platform/ports.py": "the loopback address",
    "flows/platform/programs.py": "first ports of Prefect and MLflow",
    "flows/platform/supervisor.py": "a header that HTTP over a Unix socket needs",
    "flows/platform/services.py": "first port of a model service",
    "flows/platform/shim.py": "waits for a server of the stack, whose port its program's file names",
}
MAKERS = {
    "httpx": {"Client", "AsyncClient", "get", "post", "put", "patch", "delete", "head", "options", "request", "stream"},
    "http.client": {"HTTPConnection", "HTTPSConnection"},
    "urllib.request": {"urlopen", "build_opener", "Request"},
    "requests": {"get", "post", "Session"},
}
ANY_MAKER = set().union(*MAKERS.values())
KNOWN_PORTS = {3000, 4200, 5000}
ADDRESSES = ("127.0.0.1", "localhost")


def makes_client(tree: ast.AST) -> Iterator[int]:
    """Lines that make an HTTP client, or ask without one."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in ANY_MAKER  # to write an expression as text takes time
            and node.attr in MAKERS.get(ast.unparse(node.value), ())
        ):
            # `response: httpx.Client` names a type: only what is called, or inherited from, makes one.
            yield node.lineno
        elif isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} & MAKERS.get(
            node.module or "", set()
        ):
            yield node.lineno


def names_port(tree: ast.AST) -> Iterator[int]:
    """Lines with a server's port or address, docstrings left out."""
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in documented:
            continue
        is_port = type(node.value) is int and node.value in KNOWN_PORTS
        is_address = isinstance(node.value, str) and any(address in node.value for address in ADDRESSES)
        if is_port or is_address:
            yield node.lineno


def called(tree: ast.Module) -> ast.Module:
    """The tree without its annotations, which name types."""

    class Annotations(ast.NodeTransformer):
        def visit_arg(self, node: ast.arg) -> ast.arg:
            node.annotation = None
            return node

        def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
            node.returns = None
            return self.generic_visit(node)

        def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
            return ast.Expr(node.value, lineno=node.lineno) if node.value is not None else None

    return ast.fix_missing_locations(Annotations().visit(tree))


def modules(*rooms: str) -> Iterator[tuple[str, ast.Module]]:
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), called(ast.parse(path.read_text()))


def test_http_clients_are_made_in_one_place() -> None:
    found = {name: list(makes_client(tree)) for name, tree in modules(*ROOMS)}
    assert {name for name, lines in found.items() if lines} == set(CLIENTS), "and no exception without need"


def test_only_the_platform_knows_a_servers_port() -> None:
    found = {name: list(names_port(tree)) for name, tree in modules("flows")}
    assert {name for name, lines in found.items() if lines} == set(PORTS), "and no exception without need"


@pytest.mark.parametrize(
    "line",
    [
        "import httpx\nhttpx.Client(base_url='x')",
        "import httpx\nhttpx.get('x')",
        "from httpx import Client",
        "from urllib.request import urlopen",
        "import urllib.request\nurllib.request.urlopen('x')",
        "import http.client\nclass A(http.client.HTTPConnection): ...",
    ],
)
def test_a_client_would_be_seen(line: str) -> None:
    assert list(makes_client(called(ast.parse(line))))


def test_a_type_is_no_client() -> None:
    assert not list(makes_client(called(ast.parse("def a(client: httpx.Client) -> httpx.Client: ..."))))


@pytest.mark.parametrize("line", ["port = 5000", "url = f'http://127.0.0.1:{port}'", "host = 'localhost'"])
def test_a_port_would_be_seen(line: str) -> None:
    assert list(names_port(ast.parse(line)))
