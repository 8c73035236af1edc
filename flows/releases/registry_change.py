"""Another registry takes over: what production is made of there, and whether the numbers of versions mean the same."""

from __future__ import annotations

from components.core.errors import UsageError
from components.core.project import Project
from components.registry import versions
from components.registry.api import Api
from components.release import ledger as ledgers
from components.release import production as productions
from components.release.production import Pin


def changes(project: Project, api: Api) -> list[str]:
    """What will change once production follows the registry, a line for each model.

    Raises:
        UsageError: its champion has the number of the version that serves, and is another package.
    """
    found = []
    for name in ledgers.models(project):
        serves = productions.decided(ledgers.of(project, name).entries()).production.champion
        number = versions.aliases(api).get(name, {}).get("champion")
        if serves is None:
            continue
        if number is None:
            found.append(f"{name}: version {serves.version} serves, no version is champion there: the service stops")
        elif number != serves.version:
            found.append(f"{name}: version {serves.version} serves, {number} is champion there: it is released")
        else:
            _require_same(name, serves, versions.by_number(api, name, number).package_digest)
    return found


def _require_same(name: str, serves: Pin, package_digest: str | None) -> None:
    if package_digest != serves.package_digest:
        raise UsageError(
            f"version {serves.version} of {name} is another model in this registry than the one that serves",
            got=f"package {(package_digest or 'unknown')[:12]}",
            expected=f"package {serves.package_digest[:12]}",
            next_step=f"register it there once more, so that it has another number, and make that one champion "
            f"(`modelyard run {name} --force register`); what serves stays until then",
        )
