"""Check of `serving.conformal` against the size of the validation split, before any training."""

from __future__ import annotations

from components.contracts.decision_spec import ConformalSpec
from components.core.errors import UsageError


def check(spec: ConformalSpec, samples: int) -> None:
    """Check that a validation split is large enough for the coverage.

    Args:
        samples: of the validation split.

    Raises:
        UsageError: it is not.
    """
    if spec.rank(samples) > samples:
        raise refused(
            "serving.conformal.coverage", f"{samples:,} validation samples", f"at least {spec.min_samples():,}"
        )


def refused(where: str, got: str, expected: str) -> UsageError:
    """The error of a conformal prediction that cannot be made."""
    return UsageError(
        "conformal prediction cannot be done so",
        where=where,
        got=got,
        expected=expected,
        next_step="change serving.conformal, or give the validation split more samples",
    )
