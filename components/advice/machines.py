"""How long the training takes elsewhere: estimates from its floating-point operations, with their assumptions.

A training step has three times the operations of the forward pass (Kaplan et al. 2020, arXiv:2001.08361, section 2.1).
A GPU is as fast as its peak times a usual utilisation, and no step is shorter than its launches take: small networks
do not gain from a larger GPU, nor from eight that share each batch.
"""

from __future__ import annotations

from components.contracts.advice import ReportRequest

BACKWARD_AND_FORWARD = 3.0
PEAK_FLOPS = 300e12  # of a data-centre GPU in bf16, dense
UTILISATION = 0.3
STEP_SECONDS = 0.005  # launches of the kernels of a step
SCALING = 0.9  # of each of eight GPUs


def times(request: ReportRequest, epochs: int, seconds: float | None) -> dict[str, str]:
    """The time of the base's training on this machine, one GPU and eight, as text.

    Args:
        epochs, seconds: of the base, as trained here.
    """
    found = {}
    cost = request.step_cost
    if cost is None or cost.forward_flops is None:
        if seconds is not None:
            found["this machine"] = f"{duration(seconds)}, measured"
        found["GPUs"] = "no estimate: the operations of this network cannot be counted"
        return found
    flops = BACKWARD_AND_FORWARD * cost.forward_flops * cost.samples * epochs
    steps = cost.steps_per_epoch * epochs
    if seconds is not None:
        speed = f"{flops / seconds / 1e9:.3g} GFLOP/s, validation included" if seconds > 0 else "at once"
        found["this machine"] = f"{duration(seconds)}, measured ({speed})"
    for name, count, share in (("one GPU", 1, 1.0), ("eight GPUs", 8, SCALING)):
        computing = flops / (PEAK_FLOPS * UTILISATION * count * share)
        launching = steps * STEP_SECONDS
        bound = "by computation" if computing > launching else "by the launches of its steps"
        found[name] = (
            f"about {duration(max(computing, launching))}, estimated: {flops:.2g} operations in {steps:,} steps, bound"
            f" {bound} ({PEAK_FLOPS / 1e12:g} TFLOP/s peak, {UTILISATION:.0%} of it, {1000 * STEP_SECONDS:g} ms a step)"
        )
    return found


def duration(seconds: float | None) -> str:
    """A time for people."""
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
