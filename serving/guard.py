"""Whether a challenger broke its limits."""

from __future__ import annotations

from components.contracts.serving_spec import ChallengerLimits
from serving.request_stats import WINDOW, RequestRecorder


def broken(challenger: RequestRecorder, champion: RequestRecorder | None, limits: ChallengerLimits) -> str | None:
    """The limit that a challenger broke, with figures; None: none.

    Its errors are those of the last 1,000 requests. Its time is compared as what an answer keeps a processor busy, so
    that a challenger that has to wait for one, in the shadow of a busy champion, is not blamed for it.
    """
    least = min(limits.min_requests, WINDOW)
    rate, requests = challenger.error_rate()
    if requests >= least and rate > limits.max_error_rate:
        return (
            f"{rate:.1%} of its last {requests} answers failed or were not finite, "
            f"more than max_error_rate {limits.max_error_rate:.1%}"
        )
    if champion is None or challenger.answered < least or champion.answered < least:
        return None
    (_, ours), (_, theirs) = challenger.medians(), champion.medians()
    if ours > limits.max_latency_ratio * theirs:
        return (
            f"its median answer takes {1000 * ours:.2f} ms of a processor against the champion's {1000 * theirs:.2f}, "
            f"more than max_latency_ratio {limits.max_latency_ratio:g}"
        )
    return None
