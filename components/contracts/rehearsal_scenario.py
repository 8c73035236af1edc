"""What happens in a rehearsal: the kind of drift on the rows, and what the world around the model is taken to be like.

A scenario is written `NAME` or `NAME:key=value,key=value`.
"""

from __future__ import annotations

from typing import Literal, Self, get_args

from pydantic import Field, ValidationError, model_validator

from components.core import located_yaml
from components.core.errors import UsageError
from components.core.strict import Strict

ScenarioName = Literal[
    "none", "gradual", "sudden", "seasonal", "broken_sensor", "new_class", "label_share", "label_delay",
    "label_noise", "bad_retraining", "no_traffic", "recorded",
]  # fmt: skip
SCENARIOS: tuple[ScenarioName, ...] = get_args(ScenarioName)
Fault = Literal["stuck", "missing", "unit"]
_DRIFTS: tuple[ScenarioName, ...] = ("gradual", "sudden", "seasonal", "label_delay", "bad_retraining")
# The scenarios that use a key; a key that is not here is used by all but `recorded`.
USED_BY: dict[str, tuple[ScenarioName, ...]] = {
    "day": tuple(name for name in SCENARIOS if name not in ("none", "seasonal", "recorded")),
    "ramp_days": ("gradual",),
    "drop": _DRIFTS,
    "shift": _DRIFTS,
    "fault": ("broken_sensor",),
    "column": ("broken_sensor", *_DRIFTS),
    "share": ("broken_sensor", "new_class"),
    "label": ("label_share",),
    "factor": ("label_share",),
    "late_hours": ("label_delay",),
    "late_share": ("label_delay",),
    "noise": ("label_noise",),
    "left": ("no_traffic",),
    "worse_by": ("bad_retraining",),
}
_ALSO_RECORDED = ("retrain_hours", "person_hours")


class ScenarioSpec(Strict):
    """A scenario with its parameters. A parameter that the scenario does not use is refused.

    Args:
        day: on which the change begins; None: after a third of the rehearsal.
        ramp_days: that a gradual change takes to be complete.
        drop: of the accuracy on the rows after the change; answers that are wrong are drawn more often.
        shift: by so many standard deviations `column` moves after the change.
        column: of the inputs, as the log names it; None: the column of numbers that goes with wrong answers most, or,
            of a broken sensor, the first column of numbers.
        fault: `stuck`: the column has one value; `missing`: it has none; `unit`: it is multiplied by 100.
        share: of the rows that a fault or a new class concerns.
        label, factor: the label whose share in the odds becomes so many times as large; None: the rarest one.
        late_hours, late_share: after the change truths come so late on average, and of this share of the answers.
        noise: share of the truths that are told wrongly after the change.
        left: share of the requests that are left after the change.
        worse_by: accuracy that a retrained model loses by a mistake.
        requests_an_hour: on average; None: as many as the log has, or 60.
        labels: share of the answers whose truth is told.
        label_hours: after which it arrives, on average (exponentially distributed).
        retrain_hours: from the order of a retraining to the challenger; None: what the last one took, but 1 at least.
        recovers: share of the accuracy that the change took, which a retrained model has again.
        person_hours: after which a person has answered a proposal, judged a challenger, started a stopped service.
    """

    name: ScenarioName
    day: float | None = Field(default=None, gt=0)
    ramp_days: float = Field(default=14.0, gt=0)
    drop: float = Field(default=0.1, ge=0, lt=1)
    shift: float = Field(default=0.5, ge=-3, le=3)
    column: str | None = None
    fault: Fault = "stuck"
    share: float = Field(default=0.2, gt=0, le=1)
    label: str | None = None
    factor: float = Field(default=3.0, gt=0)
    late_hours: float = Field(default=336.0, ge=0)
    late_share: float = Field(default=0.1, ge=0, le=1)
    noise: float = Field(default=0.15, ge=0, le=1)
    left: float = Field(default=0.0, ge=0, lt=1)
    worse_by: float = Field(default=0.1, ge=0, le=1)
    requests_an_hour: float | None = Field(default=None, gt=0, le=100_000)
    labels: float = Field(default=0.3, ge=0, le=1)
    label_hours: float = Field(default=24.0, ge=0)
    retrain_hours: float | None = Field(default=None, gt=0)
    recovers: float = Field(default=0.8, ge=0, le=1)
    person_hours: float = Field(default=24.0, ge=0)

    @model_validator(mode="after")
    def _uses_what_is_set(self) -> Self:
        for key in sorted(self.model_fields_set - {"name"}):
            own = self.name in USED_BY[key] if key in USED_BY else self.name != "recorded" or key in _ALSO_RECORDED
            if not own:
                others = ", ".join(USED_BY.get(key, [name for name in SCENARIOS if name != "recorded"]))
                raise ValueError(f"{key} means nothing in the scenario {self.name}; it belongs to {others}")
        return self

    @staticmethod
    def parse(text: str) -> ScenarioSpec:
        """A scenario as a command line has it: `sudden:drop=0.2,day=10`.

        Raises:
            UsageError: no such scenario or parameter, or a value that it cannot have.
        """
        name, _, rest = text.partition(":")
        if name not in SCENARIOS:
            raise UsageError("no such scenario", got=name, expected=", ".join(SCENARIOS))
        values: dict[str, object] = {"name": name}
        for pair in rest.split(",") if rest else ():
            key, sign, value = pair.partition("=")
            if not sign or not key:
                raise UsageError(
                    "a scenario's parameters are KEY=VALUE", got=text, expected=f"{name}:day=10,labels=0.5"
                )
            values[key] = value if key in ("column", "label") else located_yaml.parse_value(value)
        try:
            return ScenarioSpec.model_validate(values)
        except ValidationError as error:
            told = "; ".join(
                f"{'.'.join(map(str, one['loc'])) or name}: {one['msg'].removeprefix('Value error, ')}"
                for one in error.errors()
            )
            raise UsageError(f"the scenario {name} cannot be that", got=text, expected=told) from error
