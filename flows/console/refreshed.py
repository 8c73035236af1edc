"""Values that are computed in the background while somebody looks, so that no page waits long for a slow source."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from components.core.errors import ModelyardError

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

MOST_KEYS = 2000


class Reading(NamedTuple, Generic[T]):
    """What is known of a source.

    Args:
        value: the last value; None: there is none yet.
        error: why the last attempt failed; None: it did not.
        age_seconds: of the value.
        pending: whether another value is being computed.
    """

    value: T | None
    error: str | None
    age_seconds: float | None
    pending: bool


class Refreshed(Generic[T]):
    """A value that is computed again, by a thread, when it is asked for and older than `max_age_seconds`."""

    def __init__(self, compute: Callable[[], T], max_age_seconds: float) -> None:
        self._compute, self._max_age_seconds = compute, max_age_seconds
        self._lock = threading.Lock()
        self._done: threading.Event | None = None
        self._value: T | None = None
        self._error: str | None = None
        self._computed_at: float | None = None
        self._tried_at = float("-inf")

    def get(self, wait_seconds: float = 0.0, max_age_seconds: float | None = None) -> Reading[T]:
        """The last value; the next one is started where it is due.

        Args:
            wait_seconds: for a value that is due.
            max_age_seconds: another age than the source's, for who needs it less or more often.
        """
        with self._lock:
            most = self._max_age_seconds if max_age_seconds is None else max_age_seconds
            is_due = time.monotonic() - self._tried_at > most
            if is_due and self._done is None:
                self._done = threading.Event()
                threading.Thread(target=self._refresh, args=(self._done,), daemon=True).start()
            done = self._done
        if done is not None and wait_seconds > 0:
            done.wait(wait_seconds)
        return self.peek()

    def peek(self) -> Reading[T]:
        """The last value; nothing is started."""
        with self._lock:
            age = None if self._computed_at is None else time.monotonic() - self._computed_at
            return Reading(self._value, self._error, age, self._done is not None)

    def forget(self) -> None:
        """Have the next `get` compute it again."""
        with self._lock:
            self._tried_at = float("-inf")

    def _refresh(self, done: threading.Event) -> None:
        begun = time.monotonic()
        value, error = None, None
        try:
            value = self._compute()
        except ModelyardError as failure:
            error = f"{failure.what}: {failure.got}" if failure.got else failure.what
        except Exception as failure:  # noqa: BLE001  # a page says so and shows the rest
            error = f"{type(failure).__name__}: {failure}"
        with self._lock:
            if error is None:
                self._value, self._computed_at = value, begun
            self._error, self._tried_at, self._done = error, time.monotonic(), None
        done.set()


class RefreshedByKey(Generic[K, T]):
    """One `Refreshed` a key; those that were not asked for longest are forgotten."""

    def __init__(self, compute: Callable[[K], T], max_age_seconds: float) -> None:
        self._compute, self._max_age_seconds = compute, max_age_seconds
        self._lock = threading.Lock()
        self._known: OrderedDict[K, Refreshed[T]] = OrderedDict()

    def get(self, key: K, wait_seconds: float = 0.0, max_age_seconds: float | None = None) -> Reading[T]:
        """As `Refreshed.get`."""
        with self._lock:
            one = self._known.get(key)
            if one is None:
                one = self._known[key] = Refreshed(lambda: self._compute(key), self._max_age_seconds)
            self._known.move_to_end(key)
            while len(self._known) > MOST_KEYS:
                self._known.popitem(last=False)
        return one.get(wait_seconds, max_age_seconds)

    def known(self, key: K) -> Reading[T] | None:
        """What is known of a key, without asking for it; None: it was never asked for."""
        with self._lock:
            one = self._known.get(key)
        return None if one is None else one.peek()

    def forget(self, key: K) -> None:
        """Have the next `get` compute it again."""
        with self._lock:
            one = self._known.get(key)
        if one is not None:
            one.forget()
