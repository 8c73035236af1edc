"""The loop of a search: what is tried next, several trials side by side, until trials or time are used up."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from components.core.errors import Interrupted, ModelyardError, SearchError
from components.core.log import Log
from components.core.project import Project
from components.registry import comparison_runs, tracking
from components.registry.api import Api
from components.registry.tracking import Run
from components.tuning import space
from components.tuning.record import Told, settings_of
from components.tuning.view import Proposal, TrialView
from flows.comparisons.tuning import trial, variants
from flows.comparisons.tuning.progress import SearchProgress
from flows.comparisons.tuning.study import Study
from flows.comparisons.tuning.trial import Setting, Stopped
from flows.comparisons.tuning.variants import Variant

REPEATED = 20  # so many trials in a row that were tried before: the space is exhausted
FAILED = 8  # so many trials in a row that failed, and none that did not
DEFAULT_TRIALS = 30
FLOW = "modelyard tune"


@dataclass
class _Running:
    """A trial in its thread."""

    number: int
    fingerprint: str | None = None
    ended: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class SearchBudget:
    """When a search ends.

    Args:
        trials: of the study; None: no limit.
        seconds: of this call; None: no limit.
    """

    trials: int | None
    seconds: float | None


class Search:
    """A search that runs.

    Args:
        parent: the MLflow run of the study.
        finish: numbers of trials that ended early, which go on to their end before anything else is tried.
    """

    def __init__(
        self,
        project: Project,
        study: Study,
        api: Api,
        parent: Run,
        budget: SearchBudget,
        log: Log,
        finish: Sequence[int] = (),
    ) -> None:
        self._project, self._study, self._api, self._parent, self._log = project, study, api, parent, log
        self._budget = budget
        self._stopping = threading.Event()
        self._outcomes: queue.Queue[tuple[int, Told | BaseException]] = queue.Queue()
        self._running: dict[int, _Running] = {}
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._setting = Setting(
            project=project, api=api, record=study.record, metric=study.metric,
            objectives=tuple(study.spec.objectives), cores=study.cores, stopping=self._stopping, new_run=self._new_run,
        )  # fmt: skip
        self._finish = list(finish)
        self._progress = SearchProgress(study, None if budget.trials is None else budget.trials + len(finish), log)
        self.stopped_for = ""

    def run(self) -> None:
        """Search until the budget is used up; unfinished trials of an earlier call go first.

        Raises:
            Interrupted: Ctrl-C; trials that ran have a checkpoint, and go on at the next call.
            SearchError: every trial failed.
        """
        begin = time.monotonic()
        pending = [one.number for one in self._study.record.trials() if not one.state.is_finished()]
        try:
            while True:
                late = self._budget.seconds is not None and time.monotonic() - begin >= self._budget.seconds
                if late and not self._stopping.is_set():
                    self.stopped_for = self.stopped_for or "the time is used up"
                    self._stopping.set()
                while not self._stopping.is_set() and len(self._running) < self._study.parallel:
                    if not self._start_one(pending):
                        break
                if not self._running:
                    break
                self._take_outcome()
                left = None if self._budget.seconds is None else self._budget.seconds - (time.monotonic() - begin)
                self._progress.line(len(self._running), left)
        except KeyboardInterrupt:
            raise Interrupted("the search was stopped", next_step="the same command goes on with it") from None
        finally:
            self._stopping.set()
            self._progress.close()
            for thread in self._threads:
                thread.join()
            self._keep_late_outcomes()

    def _start_one(self, pending: list[int]) -> bool:
        """Start the next trial; False if there is none yet, or none any more."""
        if pending:
            self._start(pending.pop(0), is_new=False)
            return True
        trials = self._study.record.trials()
        number = len(trials)
        if self._finish:
            self._start(number, is_new=True, finishes=self._finish.pop(0))
            return True
        if self._budget.trials is not None and number >= self._budget.trials:
            self.stopped_for = self.stopped_for or "all trials are done"
            return False
        if reason := self._exhausted(trials):
            self.stopped_for = reason
            return False
        if any(not one.state.is_finished() for one in trials[: self._known(number)]):
            return False
        self._start(number, is_new=True)
        return True

    def _known(self, number: int) -> int:
        return max(0, number - self._study.lag + 1)

    def _exhausted(self, trials: list[FrozenTrial]) -> str:
        study = self._study
        fixed = 1 + len(study.spec.enqueue)
        combinations = study.spec.combinations
        if study.spec.sampler == "grid" and combinations is not None and len(trials) - fixed >= combinations:
            return f"the grid of {combinations} points is complete"
        finished = [one for one in trials if one.state.is_finished()]
        if len(finished) >= REPEATED and all("same_as" in one.user_attrs for one in finished[-REPEATED:]):
            return f"the last {REPEATED} trials were tried before: the space is exhausted"
        if len(finished) >= FAILED and all(one.state == TrialState.FAIL for one in finished):
            raise SearchError(
                f"all of the first {len(finished)} trials failed",
                where=f"study {study.name}",
                got=str(finished[-1].user_attrs.get("reason", "")),
                next_step="`modelyard run` shows whether the recipe itself trains; then mend tune.space",
            )
        return ""

    def _start(self, number: int, *, is_new: bool, finishes: int | None = None) -> None:
        study = self._study
        trials = study.record.trials()
        view = TrialView(
            study.spec, study.name, study.record.directions, trials[:number], self._known(number), study.epochs,
            study.further,
        )  # fmt: skip
        if is_new:
            proposal = self._proposal(view, number) if finishes is None else _again(trials[finishes], view)
            facts = {} if finishes is None else {trial.FINISHES: finishes}
            study.record.begin(
                number, proposal.settings, proposal.parameters, proposal.distributions, proposal.system, facts
            )
            settings = proposal.settings
        else:
            own = trials[number]
            settings = settings_of(own)
            system = {key: value for key, value in own.system_attrs.items() if not key.startswith("completed_rung_")}
            view.take(Proposal(settings, dict(own.params), dict(own.distributions), system))
        running = _Running(number)
        with self._lock:
            self._running[number] = running
        thread = threading.Thread(target=self._work, args=(running, settings, view), name=f"trial {number}")
        self._threads.append(thread)
        thread.start()

    def _proposal(self, view: TrialView, number: int) -> Proposal:
        """The recipe, then what a person wants tried, then what the sampler chooses."""
        study = self._study
        if number == 0:
            values = variants.values_of(self._project, study.pipeline, study.spec)
            parameters, distributions = space.fixed(study.spec, values)
            proposal = Proposal({}, parameters, distributions, {})
        elif number <= len(study.spec.enqueue):
            wanted = study.spec.enqueue[number - 1]
            values = variants.values_of(self._project, study.pipeline, study.spec) | wanted
            parameters, distributions = space.fixed(study.spec, values)
            proposal = Proposal(dict(wanted), parameters, distributions, {})
        else:
            return view.propose()
        view.take(proposal)
        return proposal

    def _work(self, running: _Running, settings: dict[str, Any], view: TrialView) -> None:
        """The thread of a trial: it starts the training's process, which ends with this thread."""
        outcome: Told | BaseException
        try:
            outcome = self._outcome(running, settings, view)
        except BaseException as error:  # noqa: BLE001  # the loop raises it
            outcome = error
        running.ended.set()
        self._outcomes.put((running.number, outcome))

    def _outcome(self, running: _Running, settings: dict[str, Any], view: TrialView) -> Told:
        if self._stopping.is_set():
            raise Stopped
        try:
            variant = variants.of(self._project, self._study.files, settings, self._api, self._log)
        except ModelyardError as error:
            reason = "; ".join(line.strip() for line in error.lines())[:1000]
            return Told("failed", facts={"reason": reason}, system=view.system())
        variants.check_unchanged(self._study.recipe, variant)
        earlier = self._claim(running, variant.fingerprint.digest)
        told = trial.run(self._setting, variant, view, running.number)
        if earlier is not None:
            told = Told(told.outcome, told.values, {**told.facts, "same_as": earlier}, told.system)
        return told

    def _claim(self, running: _Running, fingerprint: str) -> int | None:
        """The earlier trial of this study with the same training, once that trial has ended."""
        with self._lock:
            running.fingerprint = fingerprint
            twins = [
                one for one in self._running.values() if one.fingerprint == fingerprint and one.number < running.number
            ]
        for twin in twins:
            while not twin.ended.wait(0.2):
                if self._stopping.is_set():
                    raise Stopped
        if twins:
            return twins[0].number
        for one in self._study.record.trials()[: running.number]:
            if one.user_attrs.get("fingerprint") == fingerprint:
                return one.number
        return None

    def _take_outcome(self) -> None:
        try:
            number, outcome = self._outcomes.get(timeout=0.2)
        except queue.Empty:
            return
        with self._lock:
            del self._running[number]
        if isinstance(outcome, Stopped):
            return
        if isinstance(outcome, BaseException):
            raise outcome
        self._study.record.tell(number, outcome)
        self._progress.told(number, outcome)

    def _keep_late_outcomes(self) -> None:
        """Write what ended while the search stopped."""
        while not self._outcomes.empty():
            number, outcome = self._outcomes.get()
            if isinstance(outcome, Told):
                self._study.record.tell(number, outcome)

    def _new_run(self, variant: Variant, number: int) -> Run:
        name = f"trial {number}" if variant.settings else f"trial {number}: the recipe"
        return child_run(self._api, self._study, self._parent, variant, name)


def _again(finished: FrozenTrial, view: TrialView) -> Proposal:
    """What a trial tried, for another one."""
    proposal = Proposal(settings_of(finished), dict(finished.params), dict(finished.distributions), {})
    view.take(proposal)
    return proposal


def experiment(study: Study) -> str:
    """Name of the MLflow experiment of a study: a run has one parent, so each study has runs of its own."""
    return f"tune-{study.name}"


def child_run(api: Api, study: Study, parent: Run, variant: Variant, name: str) -> Run:
    """The MLflow run of a trial, below the run of its study."""
    tags = {"modelyard.pipeline": variant.spec.name, "modelyard.flow_run": FLOW, "modelyard.study": study.name}
    run = tracking.ensure(api, experiment(study), variant.fingerprint.digest, tags)
    comparison_runs.adopt(api, parent, run, name)
    document = variant.spec.model_dump(mode="json", include={"model", "train"})
    inputs = variants.split(variant.settings)[1]
    tracking.log_parameters(api, run, {**document, **inputs})
    source = {"path": f"data/{variant.spec.dataset}/prepared", "digest": variant.data_digest}
    tracking.log_dataset(api, run, variant.spec.dataset, variant.data_digest, source, "{}")
    return run
