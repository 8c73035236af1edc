"""Times on other machines: bound by computation or by launches, and no estimate where nothing can be counted."""

from __future__ import annotations

from components.advice import machines
from components.contracts.advice import CountedSteps, ReportRequest

REQUEST = ReportRequest(
    pipeline="p", dataset="d", prepared="p", data_digest="d", scoring="s", known="k", target="t", shortened=None,
    experiments=[], left_out={}, candidates={},
)  # fmt: skip


def test_what_bounds_a_training() -> None:
    small = REQUEST.model_copy(update={"step_cost": CountedSteps(forward_flops=1e6, samples=1000, steps_per_epoch=10)})
    found = machines.times(small, 30, 60.0)
    assert found["this machine"].startswith("60.0 s, measured (1.5 GFLOP/s")
    assert found["one GPU"].startswith("about 1.5 s, estimated: 9e+10 operations in 300 steps, bound by the launches")
    assert found["eight GPUs"].startswith("about 1.5 s")
    large = REQUEST.model_copy(update={"step_cost": CountedSteps(forward_flops=3e12, samples=1000, steps_per_epoch=10)})
    found = machines.times(large, 30, None)
    assert "this machine" not in found
    assert found["one GPU"].startswith("about 50.0 min, estimated")
    assert "bound by computation" in found["one GPU"]
    assert found["eight GPUs"].startswith("about 6.9 min, estimated")
    assert machines.times(REQUEST, 1, 5.0)["GPUs"].startswith("no estimate")
