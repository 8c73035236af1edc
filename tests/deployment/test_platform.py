"""The platform's own servers: compose and systemd files are valid, hardened, hold no secret, and their commands run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from components.contracts import settings
from components.core.errors import UsageError
from components.deployment import platform_balancer, platform_scripts, platform_systemd, target_files
from components.deployment.readme import TargetName
from flows.cli.deploy import deploy
from flows.deployment import targets
from flows.deployment.targets import DeployRequest
from tests.deployment.small_facts import facts
from tests.deployment.test_targets import OPTIONS, compose_schema

PLATFORMS: tuple[TargetName, ...] = ("compose", "systemd")


def files(target: TargetName) -> dict[str, str]:
    return {name.partition("/")[2]: text for name, text in target_files.of_platform(target).items()}


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(files("compose")["compose.yaml"])
    return document


def test_the_compose_file_meets_the_specification_and_holds_no_secret() -> None:
    document = compose()
    jsonschema.validate(document, compose_schema())
    named = {name for service in document["services"].values() for name in service.get("secrets", ())}
    assert named == set(document["secrets"])
    for name in named:
        assert name in files("compose")["README.md"]
    for name, service in document["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert name == "setup" or "healthcheck" in service, name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        # What compose replaces by variables of the host is a default or required; all else is for the shell.
        for match in re.finditer(r"\$(.?)([A-Z_]*)(..)", json.dumps(service).replace("$$", "")):
            assert (match[1], match[3]) in {("{", ":-"), ("{", ":?")}, match[0]


def test_every_server_that_a_service_waits_for_is_one_and_tables_are_made_before_any_starts() -> None:
    services = compose()["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= services.keys(), name
    for name in ("prefect-1", "prefect-2", "prefect-services", "mlflow"):
        assert services[name]["depends_on"]["setup"]["condition"] == "service_completed_successfully"
        assert services[name]["restart"] == "unless-stopped"
    assert set(services["prefect"]["depends_on"]) == {"prefect-1", "prefect-2"}


@pytest.mark.parametrize("target", PLATFORMS)
def test_the_scripts_are_ones_of_a_plain_shell(target: TargetName) -> None:
    found = files(target)
    if target == "compose":
        services = compose()["services"].values()
        scripts = [service["command"][-1].replace("$$", "$") for service in services if "command" in service]
        assert len(scripts) == 8
    else:
        scripts = [text for name, text in found.items() if name.startswith("bin/")]
        assert len(scripts) == 5
    for script in [*scripts, *re.findall(r"```sh\n(.*?)```", found["README.md"], re.DOTALL)]:
        checked = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        for python in re.findall(r"python -c '(.*?)'\n", script, re.DOTALL):
            compile(python, "script", "exec")


@pytest.mark.parametrize(
    ("target", "prefect", "mlflow"),
    [
        ("compose", "http://prefect:4200/api", "http://mlflow:5000"),
        ("systemd", "http://127.0.0.1:4200/api", "http://127.0.0.1:5000"),
    ],
)
def test_the_settings_are_those_of_a_project(target: TargetName, prefect: str, mlflow: str, tmp_path: Path) -> None:
    (tmp_path / "modelyard.toml").write_text(files(target)["modelyard.toml"])
    connections = settings.read(tmp_path).connections
    assert (connections.prefect, connections.mlflow) == (prefect, mlflow)
    assert connections.prefect_credentials is not None


def test_haproxy_accepts_the_balancer(tmp_path: Path) -> None:
    haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if haproxy is None:
        pytest.skip("no haproxy here (Debian: apt-get install haproxy)")
    path = tmp_path / "haproxy.cfg"
    path.write_text(platform_balancer.configuration(["127.0.0.1:4201", "127.0.0.1:4202"], "127.0.0.1:4200"))
    checked = subprocess.run([haproxy, "-c", "-f", str(path)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    path.write_text(path.read_text().replace("balance leastconn", "balance nobody"))
    assert subprocess.run([haproxy, "-c", "-f", str(path)], capture_output=True, check=False).returncode != 0


def _units(folder: Path) -> list[Path]:
    """The units with programs and users that this machine has: `verify` looks whether they exist."""
    program = shutil.which("env") or "/usr/bin/env"
    found = []
    for name, text in files("systemd").items():
        if name.endswith((".service", ".socket", ".target")):
            here = re.sub(rf"{platform_systemd.BIN}/[a-z-]+|{platform_systemd.CODE}/\S*/modelyard", program, text)
            (folder / name).write_text(re.sub(r"User=\S+", "User=daemon", here))
            found.append(folder / name)
    return found


def test_systemd_accepts_the_units_and_finds_them_hardened(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here (Debian: apt-get install systemd)")
    units = _units(tmp_path)
    assert len(units) == 7

    def verify() -> str:
        words = [analyze, "verify", "--man=no", *map(str, units)]
        said = subprocess.run(words, capture_output=True, text=True, check=False).stderr
        return "\n".join(line for line in said.splitlines() if "modelyard" in line)

    assert verify() == ""
    for unit in units:
        if unit.suffix == ".service":
            words = [analyze, "security", "--offline=true", "--threshold=25", "--no-pager", str(unit)]
            judged = subprocess.run(words, capture_output=True, text=True, check=False)
            assert judged.returncode == 0, judged.stdout[-300:]
    broken = next(unit for unit in units if unit.name == "modelyard-mlflow.service")
    broken.write_text(broken.read_text().replace("Restart=always", "Restart=sometimes"))
    assert "sometimes" in verify()


def test_the_units_name_one_another_and_hold_no_secret() -> None:
    found = files("systemd")
    units = {name for name in found if name.endswith((".service", ".socket", ".target"))}
    for name in units:
        for named in re.findall(r"modelyard-[a-z@0-9-]+\.(?:service|socket)|modelyard\.target", found[name]):
            assert re.sub(r"@[12]", "@", named) in units, (name, named)
    loaded = {name for text in found.values() for name in re.findall(r"LoadCredential=([a-z0-9-]+):", text)}
    assert loaded == set(platform_scripts.SECRETS)
    for name in sorted(loaded):
        assert name in found["README.md"]
    for name in ("modelyard-prefect-api@.service", "modelyard-prefect-services.service", "modelyard-mlflow.service"):
        assert f"Requires={platform_systemd.MIGRATIONS}" in found[name]
        assert f"After={platform_systemd.MIGRATIONS}" in found[name]
    # A script reads the secrets that its unit loads, and no others.
    for unit, script in (
        ("modelyard-migrations.service", "migrate"),
        ("modelyard-prefect-api@.service", "prefect-api"),
        ("modelyard-prefect-services.service", "prefect-services"),
        ("modelyard-mlflow.service", "mlflow"),
    ):
        assert f"ExecStart={platform_systemd.BIN}/{script}\n" in found[unit]
        read = set(re.findall(r"read_secret ([a-z0-9-]+)", found[f"bin/{script}"]))
        assert read == set(re.findall(r"LoadCredential=([a-z0-9-]+):", found[unit]))


@pytest.mark.parametrize("target", PLATFORMS)
def test_a_platform_needs_no_pipeline(target: TargetName, tmp_path: Path) -> None:
    words = ["--target", target, "--with-platform", "--out", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(deploy, words, catch_exceptions=False, standalone_mode=False)
    document = json.loads(done.stdout)
    assert sorted(document["written"]) == sorted(files(target))
    for name, text in files(target).items():
        assert (tmp_path / "out" / name).read_text() == text
    beside = target_files.of_target(target, facts(), OPTIONS, platform=True)
    assert beside["platform/README.md"] == files(target)["README.md"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": "systemd"},
        {"target": "kubernetes", "platform": True},
        {"target": "compose", "platform": True, "image": "digits:1"},
        {"target": "compose", "platform": True, "replicas": 2},
    ],
)
def test_options_of_a_service_need_a_pipeline(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        targets.write_platform(DeployRequest(folder=tmp_path / "out", **wrong))
    assert not (tmp_path / "out").exists()
