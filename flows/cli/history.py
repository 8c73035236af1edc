"""`modelyard history`"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components.core.errors import CorruptArtifactError, NotFoundError, UsageError
from components.core.project import Project

if TYPE_CHECKING:
    from components.release.ledger import Entry, Ledger


@click.command(epilog="Example:  modelyard history digits --verify")
@click.argument("name", required=False)
@click.option("--verify", is_flag=True, help="Only check the chain, and that nothing was cut off its end.")
@click.option("--steps", is_flag=True, help="Every step, not only how each release ended.")
@click.option("--export", "export_file", metavar="FILE", help="Write all entries as JSON lines; - is standard output.")
@click.option("--check", "check_file", metavar="FILE", type=Path, help="Check an exported file: chain and signatures.")
@click.option(
    "--key", "key_file", metavar="FILE", type=Path, help="With --check: the ledger key; the project's if none."
)
@click.option("--sign-anew", is_flag=True, help="After the ledger key was lost: sign all entries with another one.")
@click.option("--yes", is_flag=True, help="With --sign-anew of a ledger on a server: do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print every entry as JSON.")
def history(
    name: str | None,
    verify: bool,
    steps: bool,
    export_file: str | None,
    check_file: Path | None,
    key_file: Path | None,
    sign_anew: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """The release history of NAME: which version was in production when, who requested it, and what was refused."""
    from components.release import history as histories
    from components.release import ledger as ledgers
    from flows.cli import table
    from flows.releases import promotion

    if check_file is not None:
        return _check(check_file, key_file, as_json)
    project = Project.find()
    if sign_anew:
        return _sign_anew(project, yes, as_json)
    if name is None:
        raise UsageError("no model is named", next_step="modelyard history NAME; `modelyard models` lists them")
    ledger = ledgers.of(project, name)
    if export_file is not None:
        return _export(project, ledger, export_file, as_json)
    entries = ledger.entries()
    if not entries:
        raise _no_releases(project, ledger)
    if verify:
        return _verify(project, name, ledger, entries, as_json)
    if as_json:
        click.echo(json.dumps([entry.model_dump() for entry in entries], indent=2))
        return 0
    ends = [] if steps else histories.releases(entries)
    notes = {end.entries[-1].sequence: promotion.left_out(end.entries) for end in ends}
    rows = entries if steps else [end.entries[-1] for end in ends]
    table.show(
        ["time", "role", "from", "to", "event", "asked by", ""],
        [
            [
                entry.time[:19].replace("T", " ") + "Z",
                entry.role,
                entry.before.version if entry.before else "-",
                entry.after.version if entry.after else "-",
                entry.event,
                entry.asked_by,
                "; ".join(
                    filter(
                        None, (promotion.words(entry), "" if entry.facts.get("absent") else notes.get(entry.sequence))
                    )
                ),
            ]
            for entry in rows
        ],
    )
    return 0


def _verify(project: Project, name: str, ledger: Ledger, entries: list[Entry], as_json: bool) -> int:
    anchor = _anchor(project, name)
    if anchor is not None:
        number, _, digest = anchor.partition(":")
        if len(entries) < int(number) or entries[int(number) - 1].digest != digest:
            raise CorruptArtifactError(
                "the ledger does not match the registry's record of it",
                where=_where(project),
                got=f"{len(entries)} entries",
                expected=f"entry {number} with digest {digest}",
            )
    agreement = "the registry's record agrees" if anchor else "not compared with the registry"
    if as_json:
        document = {"entries": len(entries), "head": entries[-1].digest, "signed": True, "anchor": anchor}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(
            f"{len(entries)} entries, the chain is whole and signed, head {entries[-1].digest[:12]}; {agreement}"
        )
    return 0


def _export(project: Project, ledger: Ledger, file: str, as_json: bool) -> int:
    from io import StringIO

    from components.core import atomic

    text = StringIO()
    count = ledger.export(text)
    if count == 0:
        raise _no_releases(project, ledger)
    if file == "-":
        click.echo(text.getvalue(), nl=False)
        return 0
    atomic.write_text(Path(file), text.getvalue())
    if as_json:
        click.echo(json.dumps({"entries": count, "file": file}, indent=2))
    else:
        click.echo(f"{count} entries written to {file}; `modelyard history --check {file}` checks them")
    return 0


def _check(file: Path, key_file: Path | None, as_json: bool) -> int:
    from components.access import secret
    from components.release import ledger, ledger_file

    if key_file is None:
        try:
            key_file = Project.find().ledger / ledger.KEY
        except NotFoundError:  # outside a project the chain alone is checked
            key_file = None
    elif not key_file.exists():
        raise NotFoundError("no such key file", where=str(key_file))
    key = secret.read(key_file, "the ledger key") if key_file is not None else None
    checked = ledger_file.check(file, key)
    if as_json:
        document = {"model": checked.model, "entries": checked.entries, "head": checked.head, "signed": checked.signed}
        click.echo(json.dumps(document, indent=2))
    else:
        signed = f"signed with {key_file}" if checked.signed else "the signatures were not checked: no key here"
        click.echo(
            f"{checked.model}: {checked.entries} entries, the chain is whole, head {checked.head[:12]}; {signed}"
        )
    return 0


def _sign_anew(project: Project, yes: bool, as_json: bool) -> int:
    from components.release import ledger, ledger_place

    if ledger_place.url(project) is not None and not yes:
        machines = "other machines that share the ledger cannot read it until they have this machine's key"
        if not sys.stdin.isatty():
            raise UsageError(f"not asked: {machines}", next_step="copy the key from one of them; or give --yes")
        click.confirm(f"{machines}. Sign all entries anew?", abort=True, err=True)
    notes = ledger.sign_anew(project, "asked for with --sign-anew")
    if as_json:
        click.echo(json.dumps([note.model_dump() for note in notes], indent=2))
    else:
        count = sum(note.facts["entries"] for note in notes)
        click.echo(f"{count} entries of {len(notes)} models signed anew; an entry in each says so")
    return 0


def _no_releases(project: Project, ledger: Ledger) -> NotFoundError:
    return NotFoundError(f"nothing was released of {ledger.model} yet", where=_where(project))


def _where(project: Project) -> str:
    """The database of the ledger, for messages."""
    from components.release import ledger_place

    return ledger_place.store(project).where


def _anchor(project: Project, name: str) -> str | None:
    from components.registry import versions
    from components.registry.api import Api
    from flows.platform import lifecycle

    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        return None
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        return versions.model_tags(api, name).get("modelyard.ledger")
