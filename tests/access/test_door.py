"""The door over real connections: who gets in by which headers, and what a refused request leaves undone."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import time
from pathlib import Path

import pytest

from components.access import challenge, cookie, door, peer
from components.access import secret as secrets
from components.core import html_page
from tests.access.small_server import METHODS, Server

OTHER_PORT = "http://127.0.0.1:1"
FOREIGN_HOSTS = [
    "evil.example",
    "127.0.0.1.evil.example",
    "evil.example:{port}",
    "169.254.0.1:{port}",
    "",
    "[::1",
    "127.0.0.2",
]
FOREIGN_ORIGINS = [
    "http://evil.example", OTHER_PORT, "https://127.0.0.1:{port}", "null", "", "http://localhost:{port}",
    "http://127.0.0.1", "file://", "http://127.0.0.1:{port}.evil.example", "http://ada@127.0.0.1:{port}",
]  # fmt: skip


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_without_anything_every_method_is_refused_and_says_what_to_do(server: Server) -> None:
    for method in METHODS:
        answer = server.ask(method, "/thing", body=b"x" if method in ("POST", "PUT") else b"")
        assert answer.status == 401, method
        assert answer.headers["content-type"] == "application/json"
        if method != "HEAD":
            document = json.loads(answer.body)
            assert document["error"]["code"] == "no_credentials"
            assert "modelyard env" in document["detail"] == document["message"]
    assert server.reached.requests == []


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_the_secret_opens_every_method(server: Server, scheme: str) -> None:
    sent = basic(f"ada:{server.secret}") if scheme == "basic" else f"bearer {server.secret}"
    for method in METHODS:
        assert server.ask(method, "/thing", {"Authorization": sent}).status == 200, method
    assert [method for method, _ in server.reached.requests] == METHODS


def test_the_host_is_a_name_of_this_machines_loopback(server: Server) -> None:
    for host in FOREIGN_HOSTS:
        answer = server.ask(headers={**server.authorization, "Host": host.format(port=server.port)})
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (403, "foreign_host"), host
    assert server.reached.requests == []
    for host in ("127.0.0.1", "localhost", "LOCALHOST:{port}", "[::1]", "[::1]:{port}", "127.0.0.1:1"):
        headers = {**server.authorization, "Host": host.format(port=server.port)}
        assert server.ask(headers=headers).status == 200, host


def test_pages_of_other_origins_are_refused_with_the_secret_too(server: Server) -> None:
    for method, origin in itertools.product(METHODS, FOREIGN_ORIGINS):
        answer = server.ask(method, headers={**server.authorization, "Origin": origin.format(port=server.port)})
        assert answer.status == 403, (method, origin)
        assert "access-control-allow-origin" not in answer.headers
    assert server.reached.requests == []
    assert server.ask(headers={**server.authorization, "Origin": server.origin}).status == 200
    local = f"localhost:{server.port}"
    assert server.ask(headers={**server.authorization, "Host": local, "Origin": f"http://{local}"}).status == 200


def test_fetch_metadata_of_other_sites(server: Server) -> None:
    known = {"Cookie": server.fresh_cookie()}
    for site, method, mode, kind in itertools.product(
        ("cross-site", "same-site", "same-origin", "none"),
        ("GET", "HEAD", "POST", "DELETE"),
        ("cors", "no-cors", "navigate", "websocket", "same-origin"),
        ("document", "image", "script", "iframe", "empty"),
    ):
        headers = {**known, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": kind}
        headers |= {"Origin": server.origin} if method in ("POST", "DELETE") else {}
        navigates = mode == "navigate" and kind == "document"
        allowed = site in ("same-origin", "none") or (
            method in ("GET", "HEAD") and (navigates or (site == "same-site" and kind == "image"))
        )
        assert (server.ask(method, headers=headers).status == 200) is allowed, headers


@pytest.mark.parametrize(
    "sent",
    [
        "", "Basic", "Basic ", "Basic !", "Basic \u00ef", "Basic  ===", "Bearer", "Bearer ", "Bearer wrong", "x", ":",
        basic("ada:wrong"), basic("ada:"), basic(":"), basic(""), basic("ada"), basic("ada:gehe\u00efm"),
        "Bearer gehe\u00efm", "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(), "Bearer " + "x" * 30_000,
    ],
)  # fmt: skip
def test_a_wrong_secret_is_refused(server: Server, sent: str) -> None:
    answer = server.ask(headers={"Authorization": sent})
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (401, "wrong_secret")
    # What is wrong with one of them is not made good by the other.
    assert server.ask(headers={"Authorization": sent, "Cookie": server.fresh_cookie()}).status == 401
    assert server.reached.requests == []


def test_parts_of_the_secret_and_more_than_it_are_wrong(server: Server) -> None:
    for wrong in (server.secret[:-1], server.secret + "x", server.secret.swapcase(), f"{server.secret}:", ""):
        assert server.ask(headers={"Authorization": basic(f"ada:{wrong}")}).status == 401
    assert server.ask(headers={"Authorization": basic(f"a:d:a:{server.secret}")}).status == 200


def test_a_refused_page_is_readable(server: Server) -> None:
    answer = server.ask(headers={"Accept": "text/html,*/*"})
    assert answer.headers["content-type"].startswith("text/html")
    assert b"<code>modelyard open thing</code>" in answer.body
    assert answer.headers["x-frame-options"] == "DENY"


def test_settings_of_a_page_end_no_script() -> None:
    page = html_page.render(Path(door.__file__).with_name("opened.html.j2"), settings={"a": "</script>'&\""}, path="/")
    script = re.search(r"<script>.*Object\.entries\((.*?)\)\).*</script>", page)
    assert script is not None
    assert page.count("</script>") == 1
    assert json.loads(script[1]) == {"a": "</script>'&\""}
    assert "<script" not in html_page.render(Path(door.__file__).with_name("opened.html.j2"), settings={}, path="/")


def test_the_actor_is_who_the_kernel_says(server: Server) -> None:
    server.ask("POST", headers=server.authorization)
    (who,) = server.reached.actors
    assert who is not None
    assert (who.name, who.claimed) == (peer.name_of(os.getuid()), "ada")
    assert who.known_by == f"secret, user id {os.getuid()} of the connection"
    server.ask("POST", headers={"Cookie": server.fresh_cookie(), "Origin": server.origin})
    last = server.reached.actors[-1]
    assert last is not None
    assert (last.name, last.claimed) == (peer.name_of(os.getuid()), None)
    assert last.known_by == f"cookie, user id {os.getuid()} of the connection"


def test_a_code_becomes_a_cookie_once(server: Server) -> None:
    code = cookie.new_code(server.secret)
    path = f"/.modelyard/open?code={code}"
    assert server.ask("HEAD", path).status == 401  # and is still good
    assert server.ask("POST", path).status == 401
    answer = server.ask("GET", path)
    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert name.startswith(f"modelyard-{server.project}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert server.secret not in str(answer)
    assert server.ask(headers={"Cookie": name}).status == 200
    again = server.ask("GET", path, {"Accept": "text/html"})
    assert again.status == 401
    assert b"used before" in again.body
    assert "set-cookie" not in again.headers


@pytest.mark.parametrize(
    ("to", "followed"),
    [
        ("/%23/experiments", "/#/experiments"), ("//evil.example", "/"), ("/%5Cevil.example", "/"), ("", "/"),
        ("http://evil.example", "/"), ("/%09/evil.example", "/"), ("/%0D/evil.example", "/"), ("/%0A/evil", "/"),
        ("/%22%3E%3Cscript%3E", "/&#34;&gt;&lt;script&gt;"), ("javascript:alert(1)", "/"),
    ],
)  # fmt: skip
def test_a_link_leads_nowhere_else(server: Server, to: str, followed: str) -> None:
    assert f'content="0; url={followed}"'.encode() in server.open(to=to).body


def test_a_cookie_changes_something_only_with_our_origin(server: Server) -> None:
    known = {"Cookie": server.fresh_cookie()}
    for method in METHODS:
        changes = method not in ("GET", "HEAD", "OPTIONS")
        assert server.ask(method, headers=known).status == (403 if changes else 200), method
        assert server.ask(method, headers={**known, "Origin": server.origin}).status == 200, method
        assert server.ask(method, headers={**known, "Origin": OTHER_PORT}).status == 403, method


def test_our_pages_are_not_framed_by_others(server: Server) -> None:
    answer = server.ask(headers={"Cookie": server.fresh_cookie()})
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"


def test_forged_cookies(server: Server) -> None:
    name, right = server.cookie, cookie.issue(server.secret, os.getuid())
    expires, user, signature = right.split(".")
    other_user = cookie.issue(server.secret, os.getuid() + 1)
    past = f"{int(time.time()) - 1}.{user}"
    wrong = [
        "", ".", "..", right[:-1], f"{expires}.{user}.", f"{expires}.0{user}.{signature}",
        f"{int(expires) + 1}.{user}.{signature}", f"{past}.{secrets.sign(server.secret, 'cookie', past)}",
        cookie.issue("another project's secret", os.getuid()), other_user, cookie.issue(server.secret, None),
        f"{expires}.{user}.{secrets.sign(server.secret, 'open', f'{expires}.{user}')}", cookie.new_code(server.secret),
        server.secret, "gehe\u00efm." * 3,
    ]  # fmt: skip
    for value in wrong:
        assert server.ask(headers={"Cookie": f"{name}={value}"}).status == 401, value
    for text in (f"modelyard-00000000={right}", f"{name}x={right}", right, f"{name.upper()}={right}"):
        assert server.ask(headers={"Cookie": text}).status == 401, text
    assert server.reached.requests == []


def test_cookies_of_other_servers_of_this_machine_do_not_matter(server: Server) -> None:
    ours = server.fresh_cookie()
    for others in ('a={"b": [1]}', "b", "=", ";;", f"{server.cookie}=forged", 'c="x', "\u00ef=\u00ef"):
        assert server.ask(headers={"Cookie": f"{others}; {ours}; {others}"}).status == 200, others


def test_open_paths_answer_but_not_to_pages_nor_with_guarded_headers(server: Server) -> None:
    assert server.ask("POST", "/predict").status == 200
    assert server.ask("POST", "/predict", {"Authorization": "Basic wrong"}).status == 200
    assert server.ask("POST", "/predict", {"Origin": "http://evil.example"}).status == 403
    assert server.ask("POST", "/predict", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}).status == 403
    assert server.ask("POST", "/predict", {"Host": "evil.example"}).status == 403
    assert server.ask("POST", "/predict", {"X-Version": "3"}).status == 401
    assert server.ask("POST", "/predict", {"x-VERSION": ""}).status == 401
    assert server.ask("POST", "/predict", {"X-Version": "3", **server.authorization}).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "//predict", "/predict/", "/predict/x", "/Predict", "/predict;x", "/./predict", "/x/../predict",
        "/predict%2F", "/predict%00", "/%2Fpredict", "/.modelyard/open/", "//.modelyard/identity", "/.modelyard",
    ],
)  # fmt: skip
def test_no_other_path_is_taken_for_an_open_one(server: Server, path: str) -> None:
    assert server.ask("POST", path).status == 401
    assert server.reached.requests == []


def test_what_an_open_path_is_called_reaches_nothing_else(server: Server) -> None:
    for path in ("/%70redict", "/predict?x=/thing", "/predict#/thing"):
        assert server.ask("POST", path).status == 200
    assert {path for _, path in server.reached.requests} == {"/predict"}


def test_requests_that_no_client_sends(server: Server) -> None:
    known = f"Authorization: {server.authorization['Authorization']}"
    ours, evil = f"Host: 127.0.0.1:{server.port}", "Host: evil.example"
    refused = [
        ("GET /thing HTTP/1.1", ours, evil, known),
        ("GET /thing HTTP/1.1", evil, ours, known),
        ("GET /thing HTTP/1.1", evil, known),
        ("GET /thing HTTP/1.1", known),
        ("GET /thing HTTP/1.0", known),
        (f"GET http://127.0.0.1:{server.port}/thing HTTP/1.1", evil, known),
        ("GET http://evil.example/predict HTTP/1.1", evil),
        ("GET http://evil.example/predict/../thing HTTP/1.1", ours),
        ("GET /thing HTTP/1.1", ours, known, f"Origin: {server.origin}", "Origin: http://evil.example"),
        ("GET /thing HTTP/1.1", ours, "Authorization: Basic wrong", known),
        ("GET /thing HTTP/1.1", ours, known, "Authorization: Basic wrong"),
        ("CONNECT 127.0.0.1:1 HTTP/1.1", ours),
        ("OPTIONS * HTTP/1.1", ours),
        ("GET /predict HTTP/1.1", f"{ours}\x00", known),
        ("PRI * HTTP/2.0", ours, known),
        ("nonsense",),
    ]
    for lines in refused:
        assert server.raw(*lines).partition(b"\r\n")[0].split(b" ")[1:2] in ([b"400"], [b"401"], [b"403"]), lines
    assert server.reached.requests == []
    assert b" 200 " in server.raw("GET /thing HTTP/1.1", ours, known)
    smuggled = server.raw(
        *("POST /predict HTTP/1.1", ours, "Content-Length: 5", "Transfer-Encoding: chunked", "", "0", ""),
        *("GET /thing HTTP/1.1", ours),
    )
    assert ("GET", "/thing") not in server.reached.requests[1:], smuggled


def test_a_header_of_megabytes_does_no_harm(server: Server) -> None:
    begin = time.perf_counter()
    for name in ("Authorization", "Cookie", "Origin", "Host"):
        value = f"{server.cookie}=" * 50_000
        status = server.raw("GET /thing HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"{name}: {value}")[9:12]
        assert status in (b"", b"400", b"401", b"403", b"431"), name
    assert time.perf_counter() - begin < 5
    assert server.ask(headers=server.authorization).status == 200


def test_the_challenge_tells_ours_from_a_relay(server: Server) -> None:
    assert challenge.is_ours("127.0.0.1", server.port, server.secret)
    assert not challenge.is_ours("127.0.0.1", server.port, "another secret")
    nonce = "0" * 32
    said = server.ask("GET", f"{challenge.PATH}?nonce={nonce}").body.decode()
    assert said == challenge.answer(server.secret, nonce, server.port)
    assert said != challenge.answer(server.secret, nonce, server.port + 1)
    assert server.secret not in said
    # Host and Origin are looked at here as well, and what the path answers is not to be had as a code or a cookie.
    assert server.ask("GET", f"{challenge.PATH}?nonce={nonce}", {"Host": "evil.example"}).status == 403
    for text in (f"{int(time.time()) + 60}.{os.getuid()}", f"{int(time.time()) + 60}.00"):
        signed = server.ask("GET", f"{challenge.PATH}?nonce={text}").body.decode()
        assert server.ask(headers={"Cookie": f"{server.cookie}={text}.{signed}"}).status == 401
        assert server.ask("GET", f"/.modelyard/open?code={text}.{signed}").status == 401
