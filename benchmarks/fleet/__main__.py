"""A discrete-event simulation of a fleet with failures (SimPy): 1,000 models on 200 hosts, two controllers.

The decision is `components.release.decision.decide`; the ledger's entries are judged by the platform's own history
functions. Hosts die and are cut off, controllers are killed and stall, the registry and the database are away, workers
are slow and crash at load, gates refuse, people promote, promote again and roll back. After every event: what answers
is in force, no release is carried out twice, the ledger's order is whole, no promotion is lost.

`--break NAME` switches one protection off, and must give violations (no-fence, same-name, no-prove,
no-order, no-look, no-condition).

    python -m benchmarks.fleet [--models 1000] [--hosts 200] [--hours 24] [--seed 0] [--lease-seconds 60]
        [--break no-fence]
"""

from __future__ import annotations

import sys
import time

from benchmarks import figure
from benchmarks.figure import Figure

try:
    import simpy as _simpy  # noqa: F401
except ImportError:
    raise SystemExit("SimPy is not here: pip install simpy") from None

from benchmarks.fleet.watch import INSTEAD, NOT_IN_FORCE, STALE, Watch
from benchmarks.fleet.world import BREAKS, DAY, HOUR, Settings, World

NAME = "fleet"


def measure(
    models: int = 1000,
    hosts: int = 200,
    hours: float = 24.0,
    seed: int = 0,
    calls: float = 0.05,
    haste: float = 1.0,
    broken: list[str] | None = None,
    lease_seconds: float | None = None,
) -> list[Figure]:
    """The same fleet without failures and with them; with a protection off, with failures alone."""
    figures = []
    for failures in (True,) if broken else (False, True):
        settings = Settings(models, hosts, hours, seed, failures, calls, haste, frozenset(broken or ()), lease_seconds)
        begin = time.perf_counter()
        watch = World(settings).run()
        spent = time.perf_counter() - begin
        figures += _figures(watch, settings, spent)
        for violation in watch.violations:
            figure.tell(f"VIOLATION {violation}")
        figure.tell(f"steps {dict(watch.steps)}; ends {dict(watch.ends)}; not done {dict(watch.failures)}")
    return figures


def _figures(watch: Watch, settings: Settings, spent: float) -> list[Figure]:
    which = "with failures" if settings.failures else "without"
    asked = [promotion for found in watch.promotions.values() for promotion in found]
    served = [one for one in asked if one.outcome == "served" and one.converged is not None]
    others = sum(one.outcome in ("refused", "overtaken") for one in asked)
    spans = sorted(one.converged - one.at for one in served if one.converged is not None)
    begun = sorted(one.begun - one.at for one in asked if one.begun is not None)
    take_overs = sorted(watch.take_overs)
    found = [
        (f"{which}: promotions", len(asked), "", None),
        ("... served", len(served), "", None),
        ("... refused", sum(one.outcome == "refused" for one in asked), "", None),
        ("... overtaken by a later one or a rollback", sum(one.outcome == "overtaken" for one in asked), "", None),
        ("... of what served already, or under way at the end", len(asked) - others - len(served), "", None),
        ("... from a promotion to the begin of its release, p50", _at(begun, 0.5), "s", None),
        ("... p99", _at(begun, 0.99), "s", None),
        ("... from a promotion to every replica serving it, p50", _at(spans, 0.5), "s", None),
        ("... p99", _at(spans, 0.99), "s", None),
        ("... at most", _at(spans, 1.0), "s", None),
        ("... releases preempted", watch.preempted, "", None),
        ("... entries of the ledgers", watch.entries, "", None),
        ("... requests by a version not in force", watch.requests[NOT_IN_FORCE], "", 0.0),
        ("... of so many, millions", sum(watch.requests.values()) / 1e6, "", None),
        ("... by a host that is cut off, of the version that it had", watch.requests[STALE], "", None),
        ("... such a host answers so at most", max(watch.stale_seconds, default=0.0), "s", None),
        ("... seconds in which no host has a lease, since what decides is away", watch.silent_seconds, "s", None),
        ("... by the version before, where the pinned one cannot be loaded", watch.requests[INSTEAD], "", None),
        ("... leaders killed, that had a successor", len(watch.take_overs), "", None),
        ("... after, p50", _at(take_overs, 0.5), "s", None),
        ("... at most (the database is away, or both are dead)", _at(take_overs, 1.0), "s", None),
        ("... appends of an old leader refused", watch.world.database.refused_appends, "", None),
        ("... specs of an earlier decision refused that arrive late", watch.late_refused, "", None),
        ("... violations", sum(watch.kinds.values()), "", 0.0),
        ("... simulated days a second", settings.hours * HOUR / DAY / spent, "", None),
    ]
    return [Figure(NAME, text, round(float(value), 3), unit, at_most) for text, value, unit, at_most in found]


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--models", type=int, default=1000)
    options.add_argument("--hosts", type=int, default=200)
    options.add_argument("--hours", type=float, default=24.0)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--calls", type=float, default=0.05, help="longest call of database and registry, in seconds")
    options.add_argument("--haste", type=float, default=1.0, help="so many times as often controllers and writes fail")
    options.add_argument("--lease-seconds", type=float, help="a host that is cut off for so long answers nobody")
    options.add_argument("--break", dest="broken", action="append", choices=sorted(BREAKS))
    sys.exit(figure.command(measure, options))
