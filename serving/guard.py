"""The limits of a challenger."""

from __future__ import annotations

from components.contracts.serving_spec import ChallengerLimits
from serving.request_stats import WINDOW, RequestRecorder


def broken_limit(challenger: RequestRecorder, champion: RequestRecorder | None, limits: ChallengerLimits) -> str | None:
    """The limit that a challenger broke, with figures; None if it broke none.

    The error rate is over the last 1,000 requests. Latency is compared as CPU time of requests that were computed
    alone, so that a shadow that waits for a processor behind a busy champion is not charged for the wait, nor a
    challenger of a few requests for the champion's larger batches.
    """
    min_requests = min(limits.min_requests, WINDOW)
    rate, requests = challenger.error_rate()
    if requests >= min_requests and rate > limits.max_error_rate:
        return (
            f"{rate:.1%} of its last {requests} answers failed or were not finite, "
            f"more than max_error_rate {limits.max_error_rate:.1%}"
        )
    if champion is None or challenger.answered < min_requests or champion.answered < min_requests:
        return None
    (_, challenger_seconds), (_, champion_seconds) = challenger.medians(), champion.medians()
    if champion_seconds and challenger_seconds > limits.max_latency_ratio * champion_seconds:
        return (
            f"its median answer takes {1000 * challenger_seconds:.2f} ms of CPU time, "
            f"the champion's {1000 * champion_seconds:.2f}: "
            f"more than max_latency_ratio {limits.max_latency_ratio:g}"
        )
    return None
