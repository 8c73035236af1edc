"""`modelyard tune-serving`: measure a bundle on this machine, recommend settings, and write them into the pipeline.

Measured values are no inputs of a bundle by themselves: equal inputs must give equal digests on every machine. They
become inputs where a person writes them into the pipeline file, which `--apply` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from components.contracts.pipeline import PipelineSpec
from components.core import atomic
from components.core.log import Log
from components.core.project import Project
from components.deployment import serving_choice, serving_speed
from components.deployment.serving_choice import ServingChoice, ServingMeasurement
from components.identity import digest, manifest
from components.packaging.bundle import Bundle
from flows.comparisons import pipeline_file

SECONDS = 60.0
HEAD = "# Measured by `modelyard tune-serving` on "


@dataclass(frozen=True)
class ServingAdvice:
    """A measurement and what follows from it.

    Args:
        cached: whether it was measured by an earlier call.
        changes: keys of the section `serving:` whose value in the file is another one, with the recommended value.
        applied: whether they were written.
    """

    measurement: ServingMeasurement
    choice: ServingChoice
    cached: bool
    changes: dict[str, int]
    applied: bool = False


def run(
    project: Project, spec: PipelineSpec, bundle: Bundle, seconds: float | None, log: Log, *, again: bool = False
) -> ServingAdvice:
    """Measure a bundle, unless it was measured on this machine before, for at least as long.

    Args:
        seconds: about how long; None: `SECONDS`, or what was measured before.
        again: measure in any case.

    Raises:
        ServingError: the bundle's service does not start.
    """
    path = _cache_file(project, bundle)
    measurement = None if again else _read(path)
    cached = measurement is not None and measurement.seconds >= (seconds or 0)
    if measurement is None or not cached:
        measurement = serving_speed.measure(
            bundle, project.state / "cache", seconds or SECONDS, lambda text: log(f"measuring {text}")
        )
        atomic.write_text(path, measurement.model_dump_json(indent=1))
    choice = serving_choice.choose(measurement, spec.serving.max_batch_size)
    wanted = {"workers": choice.workers, "threads": choice.threads}
    if choice.batch_size is not None:
        wanted["batch_size"] = choice.batch_size
    changes = {f"serving.{name}": value for name, value in wanted.items() if getattr(spec.serving, name) != value}
    return ServingAdvice(measurement, choice, cached, changes)


def apply(path: Path, advice: ServingAdvice) -> None:
    """Write the changes into a pipeline file below a comment with the measurement; every other byte stays."""
    measured = advice.measurement
    head = [
        f"{HEAD}{measured.day}: {measured.processor}, {measured.cores} cores",
        *(f"#   {reason}" for reason in advice.choice.reasons),
    ]
    pipeline_file.set_keys(path, advice.changes, head)


def _cache_file(project: Project, bundle: Bundle) -> Path:
    """Equal for bundles with one package and one service on one kind of machine, whatever their settings."""
    facts = manifest.load(bundle.source, "bundle").facts
    machine = [serving_speed.cores(), serving_speed.processor(), serving_speed.CONNECTIONS]
    key = digest.of_value([serving_choice.SCHEMA, facts["package_digest"], facts["code"], *machine])
    return project.state / "cache" / f"serving-speed-{digest.short(key)}.json"


def _read(path: Path) -> ServingMeasurement | None:
    try:
        return ServingMeasurement.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):  # none, or one of another version: it is measured again
        return None
