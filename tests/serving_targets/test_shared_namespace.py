"""Two projects whose models have one name, in one namespace: what one of them serves, the other leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("kubernetes", reason="the client of Kubernetes is not installed: pip install kubernetes")

from components.core.errors import UsageError
from components.core.project import Project
from components.deployment import release_objects
from components.release import ledger as ledgers
from components.release.production import Production
from tests.serving_targets.cluster_site import Site, served_by_fake, serves

GATEWAY = "gateway = 'infra/web'\nhostname = '{model}.example.com'\n"

pytestmark = pytest.mark.slow


@contextmanager
def _served(site: Site, settings: str) -> Iterator[Production]:
    """Version 4 serves, by these settings and by the ledger of the site's project."""
    ledger = ledgers.of(site.project, "sample")
    if not ledger.entries():
        ledger.append("asked", release="r", role="champion", before=None, after=None, asked_by="a person")
    site.configure(settings, replicas=1)
    production = Production(champion=site.pin("4"))
    site.target.apply(production, site.next())
    site.target.start(site.bundles["4"])
    site.target.wait(serves("4"), "serve version 4")
    yield production
    assert site.target.is_applied(production)
    site.target.wait(serves("4"), "serve version 4")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served_by_fake(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(params=[True, pytest.param(False, marks=pytest.mark.long)], ids=["with a ledger", "without one"])
def other(request: pytest.FixtureRequest, site: Site, tmp_path: Path) -> Site:
    """Another project, with settings of its own for the same namespace."""
    found = replace(site, project=Project(tmp_path / "other"), decision=1000)
    found.project.root.mkdir()
    if request.param:
        ledgers.of(found.project, "sample").append(
            "asked", release="r", role="champion", before=None, after=None, asked_by="another person"
        )
    return found


@pytest.mark.parametrize("ours", ["", GATEWAY], ids=["Service", "HTTPRoute"])
@pytest.mark.parametrize("theirs", ["", GATEWAY], ids=["Service", "HTTPRoute"])
def test_what_another_project_serves_is_left_alone(site: Site, other: Site, ours: str, theirs: str) -> None:
    with _served(site, ours):
        other.configure(theirs)
        target, pin = other.target, site.pin("4")
        before = {name: one["metadata"]["resourceVersion"] for name, one in site.cluster.store.items()}
        assert (target.url, target.state(), target.spec(), target.status()) == (None, "stopped", None, None)
        assert target.is_applied(Production())
        assert not target.is_applied(Production(champion=pin))
        for step in (
            lambda: target.check_rollout(pin, None),
            lambda: target.apply(Production(champion=pin), 1000),
            lambda: target._switch.direct(Production(champion=pin), 1000, None),
            target.stop,
        ):
            with pytest.raises(UsageError, match="another project serves its model sample") as refused:
                step()
        assert "name another namespace" in str(refused.value.next_step)
        assert {name: one["metadata"]["resourceVersion"] for name, one in site.cluster.store.items()} == before


def test_an_object_of_an_earlier_modelyard_is_the_own_one(site: Site) -> None:
    with _served(site, "") as production:
        kind = site.cluster.store["Service", "sample"]
        said = {name: text for name, text in kind["metadata"]["annotations"].items() if name != release_objects.LEDGER}
        site.cluster.save({**kind, "metadata": {**kind["metadata"], "annotations": said}})
        assert site.target.is_applied(production)
        site.target.apply(production, site.next())
        found = site.cluster.store["Service", "sample"]["metadata"]["annotations"]
        assert found[release_objects.LEDGER] == ledgers.of(site.project, "sample").origin()
