"""An image of a bundle, for real: built twice, run as a cluster would run it, asked, and ended under load."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from components.contracts.pipeline import ServingOptions
from components.core.errors import ServingError
from components.core.project import Project
from components.identity import digest
from components.identity.package import Package
from components.inference.difference import difference
from components.packaging import image
from components.packaging.bundle import Bundle
from flows.deployment import containerize
from flows.deployment.containerize import BuiltImage, ImageOptions
from tests.containers import container
from tests.packaging import small_bundle

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(container.missing() is not None, reason=str(container.missing())),
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle.build(tmp_path_factory.mktemp("bundle"), ServingOptions())


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> ImageOptions:
    return ImageOptions(base=container.base(tmp_path_factory.mktemp("base")), build_arguments=container.LIMITS)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def built(project: Project, bundle: Bundle, options: ImageOptions) -> Iterator[BuiltImage]:
    made = containerize.build(project, bundle, container.tool(), options, print)
    yield made
    container.tool().run("rmi", "--force", made.tag)


def test_it_runs_read_only_without_capabilities_and_answers_as_in_training(built: BuiltImage, bundle: Bundle) -> None:
    assert built.tag == bundle.tag
    program = container.tool()
    inspected = json.loads(program.run("image", "inspect", built.tag).stdout)[0]
    assert inspected["Config"]["User"] == f"{image.UID}:{image.UID}"
    sealed = bundle.verify()
    labels = inspected["Config"]["Labels"]
    assert labels["io.modelyard.bundle-digest"] == sealed.digest
    assert labels["io.modelyard.package-digest"] == sealed.facts["package_digest"]
    assert labels["io.modelyard.data-digest"] == sealed.facts["data_digest"]
    assert labels["org.opencontainers.image.version"] == "4"
    golden = Package.open(bundle.source / "package").golden()
    begun = time.monotonic()
    with container.running(built.tag) as (running, client):
        print(f"ready {time.monotonic() - begun:.1f} s; image {inspected['Size'] / 1e6:.0f} MB")
        for example in golden:
            content = (bundle.source / "package" / "golden" / example.file).read_bytes()
            answer = client.post("/predict", content=content, headers={"content-type": example.media})
            assert difference(example.answer, answer.json()["predictions"][0]) < 1e-5
        said = program.run("exec", running, "/app/bin/python", "-c", LOOK).stdout
        assert json.loads(said) == {"uid": 1034, "capabilities": 0, "writable": ["/tmp"]}
        carried = program.run("exec", running, "cat", image.SBOM).stdout
        assert carried == (bundle.source / "sbom.cdx.json").read_text()
        assert program.run("healthcheck", "run", running).returncode == 0
        assert client.get("/livez").status_code == 200


LOOK = """\
import json, os
def is_writable(folder):
    try:
        with open(f"{folder}/x", "w"):
            return True
    except OSError:
        return False
status = dict(line.split(":", 1) for line in open("/proc/1/status") if ":" in line)
folders = ["/", "/app", "/srv", "/srv/bento", "/etc", "/home", "/opt", "/tmp"]
print(json.dumps({
    "uid": os.getuid(),
    "capabilities": sum(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")),
    "writable": [folder for folder in folders if is_writable(folder)],
}))
"""


def test_sigterm_under_load_loses_no_request_that_was_accepted(built: BuiltImage, bundle: Bundle) -> None:
    golden = Package.open(bundle.source / "package").golden()[0]
    content = (bundle.source / "package" / "golden" / golden.file).read_bytes()
    with container.running(built.tag) as (running, client):

        def ask_until_refused(_: int) -> list[tuple[float, str]]:
            """When each request began, and what became of it."""
            outcomes = []
            while True:
                begun = time.monotonic()
                try:
                    answer = client.post("/predict", content=content, headers={"content-type": golden.media})
                    outcomes.append((begun, "answered" if answer.status_code == 200 else f"HTTP {answer.status_code}"))
                except httpx.ConnectError:
                    return outcomes
                except httpx.TransportError as error:
                    outcomes.append((begun, repr(error)))
                    if "reset" in repr(error):
                        return outcomes

        with ThreadPoolExecutor(16) as threads:
            asked = [threads.submit(ask_until_refused, number) for number in range(16)]
            time.sleep(3)
            told = time.monotonic()
            stopped = container.tool().run("stop", "--time", "60", running)
            seconds = time.monotonic() - told
            outcomes = [outcome for one in asked for outcome in one.result(timeout=60)]
        code = container.tool().run("inspect", "--format", "{{.State.ExitCode}}", running).stdout.strip()
    before = [outcome for begun, outcome in outcomes if begun < told]
    # What comes after SIGTERM is refused; what came in the very moment may be reset.
    after = Counter(outcome for begun, outcome in outcomes if begun >= told)
    print(f"ended in {seconds:.1f} s with code {code}; before: {Counter(before)}; after: {after}")
    assert (stopped.returncode, code) == (0, "0")
    assert seconds < 30
    assert len(before) > 100
    assert set(before) == {"answered"}


def test_the_same_bundle_gives_the_same_image(
    built: BuiltImage, project: Project, bundle: Bundle, options: ImageOptions, tmp_path: Path
) -> None:
    other = small_bundle.build(tmp_path, ServingOptions())
    again = containerize.build(
        project, other, container.tool(), ImageOptions(options.base, "localhost/again:1", (), options.build_arguments),
        print,
    )  # fmt: skip
    container.tool().run("rmi", "--force", again.tag)
    assert again.digest == built.digest
    assert digest.is_sha256(again.digest.removeprefix("sha256:"))


def test_a_base_that_is_not_here_is_an_error_with_a_next_step(project: Project, bundle: Bundle) -> None:
    options = ImageOptions(base="localhost/no-such-base:1", build_arguments=container.LIMITS)
    with pytest.raises(ServingError, match="base image") as caught:
        containerize.build(project, bundle, container.tool(), options, print)
    assert "--base" in str(caught.value.next_step)
