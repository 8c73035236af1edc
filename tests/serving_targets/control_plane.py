"""A real control plane of Kubernetes as processes: etcd, kube-apiserver, kube-controller-manager, kube-scheduler.

The programs come from the folder that `MODELYARD_KUBE_BIN` names, or from PATH. They listen on fixed ports of an
address that is not loopback, which the API takes for no pod, so they run in a network namespace of their own:
`python -m tests.serving_targets.control_plane COMMAND...` makes one, and runs a command in it.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.waiting import eventually

FOLDER = "MODELYARD_KUBE_BIN"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
ADDRESS, PORT = "10.250.0.1", 6443
POD_RANGE, SERVICE_RANGE = "10.252.0.0/16", "10.251.0.0/24"
ADMIN = "a-token-of-the-control-plane"
ETCD = "http://127.0.0.1:2379"
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
NETWORK = f"ip link set lo up && ip address add {ADDRESS}/32 dev lo && ip route add local {POD_RANGE} dev lo"


def program(name: str) -> str | None:
    """The path of a program."""
    return shutil.which(name, path=os.environ.get(FOLDER)) or shutil.which(name)


def missing() -> str | None:
    """Why no control plane can run here; None where one can."""
    absent = [name for name in PROGRAMS if program(name) is None]
    if absent:
        return f"no {', '.join(absent)} in the folder that {FOLDER} names, nor in PATH"
    if os.geteuid() != 0:
        return "only root can make a network namespace"
    done = subprocess.run([*UNSHARE, "sh", "-c", NETWORK], capture_output=True, text=True)
    return f"no network namespace can be made: {done.stderr.strip()}" if done.returncode else None


class ControlPlane:
    """The processes, and an administrator's client.

    Args:
        folder: for data, logs and credentials; it is empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, f"https://{ADDRESS}:{PORT}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._read = 0
        self._known: httpx.Client | None = None

    @contextmanager
    def running(self) -> Iterator[ControlPlane]:
        """Run while the block lasts."""
        self._write_files()
        try:
            self._start("etcd", f"--data-dir={self.folder / 'etcd'}", f"--listen-client-urls={ETCD}",
                        f"--advertise-client-urls={ETCD}", "--listen-peer-urls=http://127.0.0.1:2380")  # fmt: skip
            self.start_api_server()
            kubeconfig = f"--kubeconfig={self.kubeconfig(self.folder / 'admin.kubeconfig', ADMIN)}"
            key = f"--service-account-private-key-file={self.folder / 'accounts.key'}"
            self._start("kube-controller-manager", kubeconfig, key, "--leader-elect=false",
                        "--use-service-account-credentials=true")  # fmt: skip
            self._start("kube-scheduler", kubeconfig, "--leader-elect=false")
            yield self
        finally:
            if self._known is not None:
                self._known.close()
            for process in reversed(self.processes.values()):
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                process.kill()

    def start_api_server(self) -> None:
        """Start the API server, and wait until it is ready."""
        folder = self.folder
        self._start("kube-apiserver", f"--etcd-servers={ETCD}", f"--bind-address={ADDRESS}", f"--secure-port={PORT}",
                    f"--advertise-address={ADDRESS}", f"--cert-dir={folder / 'certificates'}",
                    "--authorization-mode=RBAC", f"--token-auth-file={folder / 'tokens.csv'}",
                    "--service-account-issuer=https://kubernetes.default.svc",
                    f"--service-account-key-file={folder / 'accounts.key'}",
                    f"--service-account-signing-key-file={folder / 'accounts.key'}",
                    f"--service-cluster-ip-range={SERVICE_RANGE}", f"--audit-log-path={folder / 'audit.log'}",
                    f"--audit-policy-file={folder / 'audit.yaml'}", "--audit-log-mode=blocking")  # fmt: skip
        eventually(self._is_ready, "the API server is ready", seconds=120)

    def stop_api_server(self) -> None:
        """Kill the API server."""
        self.processes["kube-apiserver"].kill()
        self.processes["kube-apiserver"].wait()

    def kubeconfig(self, path: Path, token: str, url: str | None = None) -> Path:
        """Write a kubeconfig file for an account; `url`: of a proxy before the API server."""
        certificate = {"certificate-authority": str(self.folder / "certificates" / "apiserver.crt")}
        cluster = {"server": url} if url not in (None, self.url) else {"server": self.url, **certificate}
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "real",
            "clusters": [{"name": "real", "cluster": cluster}], "users": [{"name": "real", "user": {"token": token}}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": "real"}}],
        }  # fmt: skip
        path.write_text(yaml.safe_dump(document))
        path.chmod(0o600)
        return path

    def admin(self, method: str, path: str, body: Any = None, media: str = "application/json") -> dict[str, Any] | None:
        """One request as the administrator; None: there is no such object.

        Raises:
            httpx.HTTPError: the API server does not answer, or not yet.
        """
        answer = self._send(method, path, body, media)
        if answer.status_code == 404:
            return None
        if answer.status_code >= 500:
            answer.raise_for_status()
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        found: dict[str, Any] = answer.json()
        return found

    def refusal(self, method: str, path: str, body: Any) -> tuple[int, str]:
        """The code and the message that answer a request of the administrator."""
        answer = self._send(method, path, body, "application/json")
        return answer.status_code, str(answer.json().get("message", ""))

    def _send(self, method: str, path: str, body: Any, media: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {ADMIN}", "content-type": media}
        content = None if body is None else json.dumps(body)
        while True:
            answer = self._client.request(method, self.url + path, headers=headers, content=content)
            if "is (re)initializing" not in answer.text:
                return answer
            time.sleep(float(answer.headers.get("retry-after", 1)))

    def version(self) -> tuple[int, int]:
        """Of the API server."""
        words = [str(program("kube-apiserver")), "--version"]
        found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        major, minor = found.split()[-1].removeprefix("v").split(".")[:2]
        return int(major), int(minor)

    def requests(self, user: str) -> list[dict[str, Any]]:
        """The audited requests of an account since the last call, each with its verb, object and the code answered."""
        lines = (self.folder / "audit.log").read_text().splitlines()
        events = [json.loads(line) for line in lines[self._read :]]
        self._read = len(lines)
        return [event for event in events if event["user"]["username"] == user]

    def client(self) -> httpx.Client:
        """A client that trusts the certificate of the API server."""
        trusted = ssl.create_default_context(cafile=str(self.folder / "certificates" / "apiserver.crt"))
        return httpx.Client(verify=trusted, trust_env=False, timeout=30)

    @property
    def _client(self) -> httpx.Client:
        if self._known is None:
            self._known = self.client()
        return self._known

    def _is_ready(self) -> bool:
        process = self.processes["kube-apiserver"]
        assert process.poll() is None, (self.folder / "kube-apiserver.log").read_text()[-2000:]
        with suppress(httpx.HTTPError, OSError):
            headers = {"authorization": f"Bearer {ADMIN}"}
            return self._client.get(f"{self.url}/readyz", headers=headers).status_code == 200
        return False

    def _start(self, name: str, *words: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "GOMAXPROCS": "1"}
            self.processes[name] = subprocess.Popen(
                [str(program(name)), *words], stdout=log, stderr=log, env=environment
            )

    def _write_files(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        form = (
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        (self.folder / "accounts.key").write_bytes(key.private_bytes(*form))
        (self.folder / "tokens.csv").write_text(f"{ADMIN},admin,1,system:masters\n")
        rules = [{"level": "None", "users": ["system:kube-scheduler", "system:apiserver", "admin"]},
                 {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"]},
                 {"level": "Metadata", "omitStages": ["RequestReceived"]}]  # fmt: skip
        policy: Mapping[str, Any] = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}
        (self.folder / "audit.yaml").write_text(yaml.safe_dump(policy))


def main() -> None:
    """Run a command in a network namespace with the addresses of a control plane."""
    words = [*UNSHARE, "sh", "-c", f'{NETWORK} && exec "$@"', "sh", *sys.argv[1:]]
    sys.exit(subprocess.run(words).returncode)


if __name__ == "__main__":
    main()
