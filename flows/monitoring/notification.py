"""Send a message to the recipients of a pipeline's monitor: notification blocks of Prefect, and URLs of Apprise."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.contracts.monitor_actions import Recipient
from components.core.errors import ModelyardError, NotFoundError, UsageError

if TYPE_CHECKING:
    from prefect.blocks.abstract import NotificationBlock


class NotificationError(ModelyardError):
    """A message did not reach a recipient."""


def send(recipients: Sequence[Recipient], subject: str, body: str) -> list[str]:
    """Send a message to each recipient.

    Returns:
        Names of the recipients that were reached.

    Raises:
        NotificationError: some were not; names them and why. The others have the message.
    """
    reached, failed = list[str](), list[str]()
    for recipient in recipients:
        try:
            if recipient.block is not None:
                _to_block(recipient.block, subject, body)
            else:
                _to_url(str(recipient.url_env), subject, body)
            reached.append(recipient.name)
        except ModelyardError as error:
            failed.append(f"{recipient.name}: {error.what}{f' ({error.got})' if error.got else ''}")
    if failed:
        raise NotificationError(
            f"the message did not reach {len(failed)} of {len(recipients)} recipients",
            got="; ".join(failed),
        )
    return reached


def _to_block(name: str, subject: str, body: str) -> None:
    from prefect.blocks.abstract import NotificationBlock
    from prefect.blocks.core import Block

    try:
        block = Block.load(name)
    except ValueError as error:
        raise NotFoundError(
            f"Prefect has no block {name}", got=error, next_step="make it in Prefect's UI, under Blocks"
        ) from error
    if not isinstance(block, NotificationBlock):
        raise UsageError("this block sends no messages", got=name, expected="a notification block, as slack-webhook")
    through(block, subject, body)


def through(block: NotificationBlock, subject: str, body: str) -> None:
    """Send a message through a notification block.

    Raises:
        NotificationError: the service behind it refuses it.
    """
    try:
        block.notify(body, subject, _sync=True)  # type: ignore[call-arg,unused-coroutine]  # Prefect's sync_compatible
    except Exception as error:  # of any service behind a block; the message is what a person can act on
        raise NotificationError("the service behind the block refused the message", got=_plain(error)) from error


def _to_url(variable: str, subject: str, body: str) -> None:
    import apprise

    url = os.environ.get(variable)
    if not url:
        raise UsageError(f"the environment variable {variable} is not set where the monitor runs")
    sender = apprise.Apprise()
    if not sender.add(url):
        raise UsageError(f"{variable} holds no URL that Apprise reads", expected="mailto://, slack://, json://, ...")
    with apprise.LogCapture(level=logging.WARNING) as captured:  # type: ignore[no-untyped-call]
        done = sender.notify(body=body, title=subject)
    if not done:
        said = captured.getvalue().strip().splitlines() if captured else []
        raise NotificationError("the message was not accepted", got=_hidden(said[-1], url) if said else None)


def _plain(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _hidden(text: str, url: str) -> str:
    """A message of Apprise without what the URL holds."""
    return text.replace(url, "...")[:300]
