"""Files of deployment targets: valid by the published schemas, hardened, deterministic, and never over an edit."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from components.core.errors import UsageError
from components.deployment import container, kserve, ready, resources, shutdown, systemd, target_files, written_files
from components.deployment.container import DeploymentOptions, checked_image
from components.deployment.readme import TARGETS, TargetName
from flows.cli import deploy
from flows.deployment import targets
from flows.deployment.targets import DeployRequest
from tests.deployment import kserve_schema
from tests.deployment.small_facts import facts

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OPTIONS = DeploymentOptions("registry.example.com/ml/digits:abababababab", 2, 8, ("ingress-nginx",))
KUBERNETES = ("1.30", "1.31", "1.33", "1.35", "1.37")


def documents(target: TargetName, options: DeploymentOptions = OPTIONS) -> dict[str, Any]:
    files = target_files.of_target(target, facts(), options)
    return {name: yaml.safe_load(text) for name, text in files.items() if name.endswith(".yaml")}


@pytest.mark.slow
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_accepts_every_manifest_strictly(version: str) -> None:
    manifests = documents("kubernetes")
    assert manifests.pop("kustomization.yaml")["resources"] == list(manifests)
    assert {document["kind"] for document in manifests.values()} == {
        "ServiceAccount", "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy",
    }  # fmt: skip
    for document in manifests.values():
        kubernetes_validate.validate(document, version, strict=True)


def test_a_wrong_key_of_a_manifest_is_seen() -> None:
    deployment = documents("kubernetes")["deployment.yaml"]
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[-1], strict=True)


def test_a_pod_has_no_privilege_no_token_and_time_to_drain() -> None:
    pod = documents("kubernetes")["deployment.yaml"]["spec"]["template"]["spec"]
    (model,) = pod["containers"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": 1034, "runAsGroup": 1034, "fsGroup": 1034,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    assert model["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert pod["automountServiceAccountToken"] is False
    assert {mount["mountPath"] for mount in model["volumeMounts"] if not mount.get("readOnly")} == {"/tmp"}
    assert model["startupProbe"]["httpGet"] == {"path": "/readyz", "port": 3000}
    assert model["livenessProbe"]["httpGet"]["path"] == "/livez"
    sleep = model["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > sleep + shutdown.DRAIN_SECONDS


def test_the_time_to_end_covers_that_of_the_service() -> None:
    """Read from the source: the service's modules may change without this room."""
    seconds = {}
    for name in ("start.py", "drain.py"):
        for node in ast.parse((ROOT / "serving" / name).read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                seconds[ast.unparse(node.targets[0])] = node.value.value
    assert seconds["DRAIN_SECONDS"] <= shutdown.DRAIN_SECONDS
    assert seconds["LINGER_SECONDS"] < shutdown.MARGIN_SECONDS


def test_resources_come_from_the_measurement_and_estimates_say_so() -> None:
    measured, estimated = resources.of_service(facts()), resources.of_service(facts(None))
    assert measured.cpu_millicores == 1500
    assert 380 < measured.memory_request_mebibytes < measured.memory_limit_mebibytes
    text = target_files.of_target("kubernetes", facts(), OPTIONS)["deployment.yaml"]
    assert text.startswith("# Measured on 2 cores with 2 worker(s)")
    assert "380 MiB at most" in text
    assert estimated.memory_limit_mebibytes > 600
    assert target_files.of_target("kubernetes", facts(None), OPTIONS)["deployment.yaml"].startswith("# NOT measured")


def test_keys_are_referred_to_and_digests_are_annotations() -> None:
    manifests = documents("kubernetes")
    pod = manifests["deployment.yaml"]["spec"]["template"]["spec"]
    assert {"secretName": "digits-api-keys", "defaultMode": 0o440} in [one.get("secret") for one in pod["volumes"]]
    assert pod["containers"][0]["env"] == [{"name": "MODELYARD_API_KEYS", "value": "/run/secrets/modelyard/api-keys"}]
    assert "Secret" not in {document["kind"] for document in manifests.values()}
    for name, document in manifests.items():
        if name != "kustomization.yaml":
            assert document["metadata"]["annotations"]["modelyard.bundle_digest"] == "12" * 32
    policy = manifests["networkpolicy.yaml"]["spec"]
    assert policy["egress"] == []
    assert policy["ingress"][0]["from"][1]["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "ingress-nginx"
    }


def test_the_predictor_of_kserve_is_a_valid_pod() -> None:
    service = documents("kserve")["inferenceservice.yaml"]
    kserve_schema.validate(service)
    (predicting,) = service["spec"]["predictor"]["containers"]
    assert predicting["name"] == kserve.CONTAINER == "kserve-container"
    assert predicting["ports"][0]["containerPort"] == container.PORT
    assert {"name": "PROTOCOL", "value": "v2"} in predicting["env"]
    for name in ("serviceaccount.yaml", "networkpolicy.yaml"):
        kubernetes_validate.validate(documents("kserve")[name], KUBERNETES[-1], strict=True)


def compose_schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((HERE / "compose-spec.json").read_bytes())
    return schema


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 3])
def test_the_compose_file_meets_the_specification(replicas: int) -> None:
    document = documents("compose", DeploymentOptions("digits:abababababab", replicas))["compose.yaml"]
    jsonschema.validate(document, compose_schema())
    service = document["services"]["digits"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["ports"] == ["127.0.0.1:3000:3000" if replicas == 1 else "127.0.0.1:3000-3002:3000"]
    assert int(service["stop_grace_period"][:-1]) > shutdown.DRAIN_SECONDS
    document["services"]["digits"]["replicas"] = 2
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, compose_schema())


def test_systemd_accepts_the_unit_and_finds_it_hardened(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here (Debian: apt-get install systemd)")
    name = systemd.unit_name(facts())
    text = target_files.of_target("systemd", facts(), OPTIONS)[name]
    # `verify` looks whether programs and users exist: they do on the server, not here.
    here = text.replace("/opt/modelyard/digits-abababababab/venv/bin/python", shutil.which("env") or "/usr/bin/env")
    (tmp_path / name).write_text(here.replace("User=modelyard-digits", "User=daemon"))
    verified = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, check=False
    )
    assert name not in verified.stderr, verified.stderr
    judged = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=25", "--no-pager", str(tmp_path / name)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout
    stop = int(text.partition("TimeoutStopSec=")[2].partition("\n")[0])
    assert stop > shutdown.DRAIN_SECONDS


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_facts_give_the_same_files_and_the_readme_says_how_to_apply_them(target: TargetName) -> None:
    files = target_files.of_target(target, facts(), OPTIONS)
    assert files == target_files.of_target(target, facts(), OPTIONS)
    commands = files["README.md"].partition("```sh\n")[2].partition("```")[0].splitlines()
    assert 3 <= len(commands) <= 6
    assert "12" * 32 in files["README.md"]
    assert all(f"`{name}`" in files["README.md"] for name in files if name != "README.md")
    follow = {"compose": "--force-recreate`", "systemd": "systemctl restart "}.get(
        target, "kubectl apply --filename=-`"
    )
    assert follow in files["README.md"].partition("`keys add` or `keys revoke`")[2]  # a revoked key is good until then


def test_files_that_a_person_edited_are_named_and_kept_unless_forced(tmp_path: Path) -> None:
    out = tmp_path / "deploy"
    files = {"a.yaml": "one\n", "b.yaml": "two\n", "README.md": "three\n"}
    first = written_files.write(out, files, {"target": "t"}, force=False)
    assert first.written == ("README.md", "a.yaml", "b.yaml")
    assert written_files.write(out, files, {"target": "t"}, force=False).unchanged == first.written
    (out / "a.yaml").write_text("mine\n")
    del files["b.yaml"]
    with pytest.raises(UsageError) as refused:
        written_files.write(out, {**files, "c.yaml": "four\n"}, {"target": "t"}, force=False)
    assert refused.value.got == "a.yaml"
    assert "--force" in str(refused.value.next_step)
    assert (out / "b.yaml").exists()
    assert not (out / "c.yaml").exists()
    forced = written_files.write(out, files, {"target": "t"}, force=True)
    assert (forced.overwritten, forced.removed, forced.written) == (("a.yaml",), ("b.yaml",), ())
    assert (out / "a.yaml").read_text() == "one\n"
    assert not (out / "b.yaml").exists()


def test_the_files_of_another_deployment_are_not_removed_by_one_in_their_folder(tmp_path: Path) -> None:
    out = tmp_path / "deploy"
    about = {"target": "systemd", "model": "digits", "version": "3", "bundle_digest": "a"}
    files = target_files.of_target("systemd", facts(), OPTIONS)
    written_files.write(out, files, about, force=False)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for other in (
        {"target": "compose", "model": "digits"},
        {"target": "kubernetes", "model": "digits"},
        {"target": "systemd", "model": "fashion"},
        {"target": "systemd", "platform": "yes"},
    ):
        for force in (False, True):
            with pytest.raises(UsageError, match="files of another deployment") as refused:
                written_files.write(out, {"compose.yaml": "one\n"}, other, force=force)
        assert refused.value.got == "target systemd, model digits"
        assert refused.value.where == str(out / written_files.RECORD)
        assert "--out" in str(refused.value.next_step)
    with pytest.raises(UsageError, match="files of another deployment"):
        targets.write_platform(DeployRequest("systemd", out, platform=True))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    newer = {**files, "new.service": "one\n"}  # another version of the same model replaces its own files
    assert written_files.write(out, newer, {**about, "version": "4"}, force=False).written == ("new.service",)


def test_a_platform_is_not_written_over_by_a_model(tmp_path: Path) -> None:
    targets.write_platform(DeployRequest("compose", tmp_path, platform=True))
    with pytest.raises(UsageError, match="files of another deployment") as refused:
        written_files.write(tmp_path, {"a": "b"}, {"target": "compose", "model": "digits"}, force=True)
    assert refused.value.got == "target compose, the platform alone"


def test_an_edited_file_that_is_no_longer_needed_is_kept_also_with_force(tmp_path: Path) -> None:
    about = {"target": "compose", "model": "digits"}
    written_files.write(tmp_path, {"a.yaml": "one\n", "b.yaml": "two\n"}, about, force=False)
    (tmp_path / "b.yaml").write_text("mine\n")
    with pytest.raises(UsageError, match="were edited"):
        written_files.write(tmp_path, {"a.yaml": "one\n"}, about, force=False)
    done = written_files.write(tmp_path, {"a.yaml": "one\n"}, about, force=True)
    assert (done.kept, done.overwritten, done.removed) == (("b.yaml",), (), ())
    assert (tmp_path / "b.yaml").read_text() == "mine\n"
    assert written_files.write(tmp_path, {"a.yaml": "one\n"}, about, force=False).kept == ()


def test_a_record_cannot_name_files_elsewhere_and_foreign_files_are_kept(tmp_path: Path) -> None:
    out, other = tmp_path / "deploy", tmp_path / "precious"
    other.write_text("x")
    out.mkdir()
    (out / "a.yaml").write_text("of somebody else\n")
    (out / written_files.RECORD).write_text(json.dumps({"files": {"../precious": "0" * 64}}))
    with pytest.raises(UsageError, match="were not written by"):
        written_files.write(out, {"a.yaml": "one\n"}, {}, force=False)
    written_files.write(out, {"a.yaml": "one\n"}, {}, force=True)
    assert other.exists()


@pytest.mark.parametrize("reference", ["digits", "digits:latest", "Digits:1", "host:5000/a b:1", "digits@sha256:12"])
def test_an_image_that_may_change_is_refused(reference: str) -> None:
    with pytest.raises(UsageError):
        checked_image(reference)


@pytest.mark.parametrize("reference", ["digits:abababababab", "host:5000/ml/digits:3", f"digits@sha256:{'ab' * 32}"])
def test_an_image_that_stays_is_taken(reference: str) -> None:
    assert checked_image(reference) == reference


@pytest.mark.parametrize("name", ["Bad", "a b", "-a", "a.b", "", "a" * 64])
def test_what_is_no_namespace_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    request = DeployRequest("kubernetes", tmp_path, ingress_namespaces=("ingress-nginx", name))
    with pytest.raises(UsageError, match="no name of a Kubernetes namespace"):
        targets.check(request)


def test_the_command_offers_every_target() -> None:
    assert deploy.TARGETS == TARGETS


def test_a_folder_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot be written"):
        written_files.write(tmp_path / "file", {"a.yaml": "one\n"}, {}, force=False)


@pytest.mark.parametrize("target", TARGETS)
def test_a_service_that_asks_for_no_key_gets_none_and_the_readme_says_so(target: TargetName) -> None:
    files = target_files.of_target(target, facts(asks_for_keys=False), OPTIONS)
    assert "asks for no key" in files["README.md"]
    assert target != "kserve" or "PROTOCOL" not in files["inferenceservice.yaml"]
    assert not any("api-keys" in text or "API_KEYS" in text for text in files.values())
    for text in (text for name, text in files.items() if name == "deployment.yaml"):
        kubernetes_validate.validate(yaml.safe_load(text), KUBERNETES[-1], strict=True)
    assert "asks for no key" not in target_files.of_target(target, facts(), OPTIONS)["README.md"]


class _Model(BaseHTTPRequestHandler):
    """A service whose `/model` answers as `status` and `package` say."""

    status, package = 200, "a" * 64

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/model" else 200)
        self.send_header("X-Modelyard-Package", self.package)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_the_unit_waits_for_an_answer_of_its_own_package() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Model) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert ready.main([url, "a" * 64, "5"]) == 0
        assert ready.main([url, "b" * 64, "0"]) == 1  # the bundle before this one answers
        _Model.status = 401
        assert ready.main([url, "b" * 64, "0"]) == 0  # asks for a key: nothing more can be known
        server.shutdown()
    assert ready.main([url, "a" * 64, "0"]) == 1
