"""Records Ctrl-C during a command, so that any error it causes is reported as an interruption.

KeyboardInterrupt can be raised between any two instructions of the main thread: in a C library that converts it to
another error, in a destructor that swallows it and prints a traceback, or while the process exits.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Self

RERAISE_SECONDS = 0.01


class Interruption:
    """Within the block SIGINT raises KeyboardInterrupt and is recorded in `received`.

    A process that ignores SIGINT (a background job of a script) keeps ignoring it.
    """

    def __init__(self) -> None:
        self.received = False
        self._suppressed = self._restored = False
        self._previous_handler: signal._HANDLER = None
        self._hooks = sys.unraisablehook, threading.excepthook

    def __enter__(self) -> Self:
        self._previous_handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and self._previous_handler is not signal.SIG_IGN:
            sys.unraisablehook, threading.excepthook = self._unraisable, self._in_thread
            signal.signal(signal.SIGINT, self._receive)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._restored:
            return
        if signal.getsignal(signal.SIGINT) == self._receive:
            signal.signal(signal.SIGINT, self._previous_handler)
        sys.unraisablehook, threading.excepthook = self._hooks

    def suppress(self) -> None:
        """Raise no KeyboardInterrupt from now on, while the error is reported."""
        self._suppressed = True

    def restore_default(self) -> None:
        """Restore SIGINT's default action, which ends the process at once: called when the process is about to exit."""
        self._restored = True
        if signal.getsignal(signal.SIGINT) == self._receive:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self.received = True
        if not self._suppressed:
            raise KeyboardInterrupt

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            if not self._suppressed:  # a destructor swallowed the exception: raise it again where it can be caught
                timer = threading.Timer(
                    RERAISE_SECONDS, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)
                )
                timer.daemon = True
                timer.start()
        elif not self.received:
            self._hooks[0](unraisable)

    def _in_thread(self, arguments: threading.ExceptHookArgs) -> None:
        if not self.received:
            self._hooks[1](arguments)
