"""Messages reach real local servers: a webhook and a mailbox; what does not arrive is an error without secrets."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from components.contracts.monitor_actions import Recipient
from flows.monitoring import notification
from flows.monitoring.notification import NotificationError
from tests.monitor import receivers


@pytest.mark.slow
def test_a_webhook_and_a_mailbox(monkeypatch: pytest.MonkeyPatch) -> None:
    with receivers.http() as (web, bodies), receivers.smtp() as (post, mails):
        monkeypatch.setenv("HOOK", f"json://{web}/hook")
        monkeypatch.setenv("MAIL", f"mailto://{post}/?from=monitor@example.org&to=team@example.org")
        reached = notification.send(
            [Recipient(url_env="HOOK"), Recipient(url_env="MAIL")], "sst2: drift", "words have changed"
        )
    assert reached == ["$HOOK", "$MAIL"]
    assert [(body["title"], body["message"]) for body in bodies] == [("sst2: drift", "words have changed")]
    (mail,) = mails
    assert (mail["Subject"], mail["To"]) == ("sst2: drift", "team@example.org")
    assert "words have changed" in mail.as_string()


@pytest.mark.slow
def test_prefects_block_for_slack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The block itself, over TLS, to a server of this machine that has Slack's name."""
    from prefect.blocks.notifications import SlackWebhook

    host, resolve = "hooks.slack.com", socket.getaddrinfo
    context, trusted = receivers.certificate(host, tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with receivers.http(tls=context) as (web, bodies):
        port = int(web.partition(":")[2])
        monkeypatch.setattr(
            socket, "getaddrinfo",
            lambda name, at, *more: resolve(*(("127.0.0.1", port) if name == host else (name, at)), *more),
        )  # fmt: skip
        block = SlackWebhook(url=f"https://{host}/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
        notification.through(block, "sst2: drift", "words have changed")
    (body,) = bodies
    assert "sst2: drift" in str(body)
    assert "words have changed" in str(body)


def test_one_recipient_that_fails_costs_the_others_nothing_and_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with receivers.http(status=500) as (bad, _), receivers.http() as (good, bodies):
        monkeypatch.setenv("BAD", f"json://user:hidden-word@{bad}/hook")
        monkeypatch.setenv("GOOD", f"json://{good}/hook")
        with pytest.raises(NotificationError) as caught:
            notification.send([Recipient(url_env="BAD"), Recipient(url_env="GOOD")], "subject", "body")
    assert len(bodies) == 1
    text = "\n".join(caught.value.lines())
    assert "1 of 2" in text
    assert "$BAD" in text
    assert "hidden-word" not in text


@pytest.mark.parametrize(("value", "why"), [(None, "is not set"), ("no url", "no URL that Apprise reads")])
def test_a_variable_without_a_url(monkeypatch: pytest.MonkeyPatch, value: str | None, why: str) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    if value is not None:
        monkeypatch.setenv("HOOK", value)
    with pytest.raises(NotificationError, match="did not reach 1 of 1") as caught:
        notification.send([Recipient(url_env="HOOK")], "subject", "body")
    assert why in "\n".join(caught.value.lines())
