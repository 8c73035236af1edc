"""`modelyard`: commands by name, imported when called; errors as text or JSON."""

from __future__ import annotations

import importlib
import json
import sys
from contextlib import suppress
from typing import Any

import click

from components.core import disk_space
from components.core.errors import Interrupted, ModelyardError
from flows.cli import error_pages
from flows.cli.interruption import Interruption

# name -> (module:attribute, one line of help), in the order of a typical session
COMMANDS = {
    "demo": ("flows.cli.demo:demo", "The whole chain on real data: stack, run, release, one answered request."),
    "new": ("flows.cli.new:new", "Draft a dataset and its pipeline from data, whose task is recognised."),
    "run": ("flows.cli.run:run", "Run the stages of a pipeline that are out of date, and print why."),
    "try": ("flows.cli.trial:try_", "Train a task's candidates for a short time; the best one goes into the pipeline."),
    "advise": ("flows.cli.advise:advise", "What would help a pipeline: more data, a larger model, longer training."),
    "compare": ("flows.cli.compare:compare", "Train several models at equal budget: quality against what each costs."),
    "tune": ("flows.cli.tune:tune", "Search over a pipeline's keys; trials are resumed, pruned, never trained twice."),
    "why": ("flows.cli.why:why", "What would run, and what changed."),
    "serve": ("flows.cli.serve:serve", "Serve the champion of a pipeline."),
    "tune-serving": (
        "flows.cli.tune_serving:tune_serving",
        "Measure which workers, threads and batches serve it best.",
    ),
    "predict": ("flows.cli.predict:predict", "Send a file or text to a pipeline's service."),
    "score": ("flows.cli.score:score", "Score files, folders, tables or a dataset: in parallel, resumable, sealed."),
    "deploy": (
        "flows.cli.deploy:deploy",
        "Write the files that deploy a bundle: compose, Kubernetes, KServe, systemd.",
    ),
    "hosts": ("flows.cli.hosts:hosts", "The machines that serve in place of this one: which answer, what they serve."),
    "pool": ("flows.cli.pool:pool", "Job templates of work pools, whose jobs run stages on a cluster."),
    "client-snippet": ("flows.cli.client_snippet:client_snippet", "Code that asks a pipeline's service."),
    "keys": ("flows.cli.keys:keys", "Add, list and revoke API keys of a service."),
    "predictions": ("flows.cli.predictions:predictions", "What was answered in production, and how well."),
    "label": ("flows.cli.label:label", "Tell the truths of answers, for their quality."),
    "monitor": ("flows.cli.monitor:monitor", "Judge what was answered, and carry out what follows from it."),
    "drift": ("flows.cli.drift:drift", "Judge what was answered against what the model was validated on."),
    "rehearse": ("flows.cli.rehearse:rehearse", "Months of drift in minutes: what a monitoring policy would do."),
    "forget": ("flows.cli.forget:forget", "Remove a person's data from logs and datasets; name what was made from it."),
    "models": ("flows.cli.models:models", "The registered models, their aliases and figures."),
    "promote": ("flows.cli.promote:promote", "Make a version champion (or challenger), gated, and wait for it."),
    "rollback": ("flows.cli.promote:rollback", "Go back to the last version that served well."),
    "approve": ("flows.cli.approve:approve", "Answer a release that waits for a person."),
    "people": ("flows.cli.people:people", "Who may train, promote and approve: the users of MLflow."),
    "history": ("flows.cli.history:history", "Which version was in production when, and who requested it."),
    "bundle": ("flows.cli.bundle:bundle", "The bundle of a version; one archive of it, with wheels and evidence."),
    "export": ("flows.cli.export:export", "A version for other tools: transformers, onnxruntime, safetensors."),
    "containerize": ("flows.cli.containerize:containerize", "A container image of a version, by Docker or podman."),
    "import": ("flows.cli.import_:import_", "Verify an archive of another installation and register its model."),
    "verify": ("flows.cli.verify:verify", "Recompute the chain of proof of a bundle, a version or a service."),
    "inspect": ("flows.cli.inspect:inspect", "Likely wrong labels, near-duplicates and outliers of a dataset."),
    "diff": ("flows.cli.diff:diff", "What changed between two versions of a dataset."),
    "datasets": ("flows.cli.datasets:datasets", "The datasets and how far each is prepared."),
    "schedule": ("flows.cli.schedule:schedule", "Register the schedules of the pipeline files."),
    "unschedule": ("flows.cli.schedule:unschedule", "Remove schedules."),
    "up": ("flows.cli.up:up", "Start the local stack: Prefect, MLflow, the runner."),
    "down": ("flows.cli.down:down", "Stop the local stack; nothing is lost."),
    "status": ("flows.cli.status:status", "What runs, and where."),
    "open": ("flows.cli.open:open_", "Open Prefect, MLflow or a model's page in the browser."),
    "env": ("flows.cli.env:env", "Print the environment variables for prefect, mlflow, dvc and bentoml."),
    "shell": ("flows.cli.env:shell", "Start a shell with these variables."),
    "gc": ("flows.cli.gc:gc", "Remove unreferenced artifacts, after printing their sizes."),
    "doctor": ("flows.cli.doctor:doctor", "Check this machine and this project, and print what to repair."),
    "schema": ("flows.cli.schema:schema", "JSON Schema of pipeline and dataset files, for editors."),
}


class Shell(click.Group):
    """A group that lists its commands by name and imports a command's module only when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import difflib

            close = difflib.get_close_matches(name, COMMANDS, 1)
            hint = f" Did you mean {close[0]!r}?" if close else " `modelyard --help` lists the commands."
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


class VersionOption(click.Option):
    """The option `--version`."""


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"modelyard {version('modelyard')}")
    ctx.exit()


@click.group(
    cls=Shell,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Example:  modelyard up && modelyard run digits\n\n"
    "Guides and reference: docs/ in the project; `make docs` builds the site.",
)
@click.option(
    "--version", is_flag=True, callback=_print_version, expose_value=False, is_eager=True, help="Show the version."
)
def modelyard() -> None:
    """From a dataset to a model in production, with proof at every hand-over."""


def main(arguments: list[str], interruption: Interruption) -> int:
    """Run a command, and report its error as text or, with `--json`, as JSON.

    Returns:
        The exit code, as of `flows.cli.main`.
    """
    import os

    try:
        from flows.platform import environment

        environment.quiet(os.environ)
        environment.find_tasks(sys.path)
        result: Any = modelyard.main(args=arguments, prog_name="modelyard", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001  # `_failed` raises what it does not report
        interruption.suppress()
        reported = Interrupted("stopped") if interruption.received and not isinstance(error, Interrupted) else error
        try:
            return _failed(reported, "--json" in arguments)
        except OSError as output_error:  # the output's reader is gone, or its disk is full
            if output_error is reported:
                raise
            with suppress(OSError):
                _failed(output_error, as_json=False)
            return 1
        finally:
            _discard_unwritable_output()
    return result if isinstance(result, int) else 0


def _failed(error: BaseException, as_json: bool) -> int:
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, BrokenPipeError):  # the reader (head, less) has closed the pipe
        return 0
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return _report(Interrupted("stopped"), as_json)
    if disk_space.is_full(error):
        return _report(disk_space.as_error(error), as_json)
    if isinstance(error, ModelyardError):
        return _report(error, as_json)
    raise error


def _report(error: ModelyardError, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(error.to_dict(), indent=2))
    else:
        lines = error.lines()
        click.secho(lines[0], fg="red", bold=True, err=True)
        for line in lines[1:]:
            click.echo(line, err=True)
        if (page := error_pages.page(error)) is not None:
            click.echo(f"  {'docs:':<10}{page}", err=True)
    return error.exit_code


def _discard_unwritable_output() -> None:
    """Point stdout and stderr to the null device if flushing fails: Python flushes again at exit and prints errors."""
    import os

    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
