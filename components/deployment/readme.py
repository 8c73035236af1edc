"""The README beside the files of a target: what they deploy, and the commands that apply them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from components.deployment import pod, systemd
from components.deployment.container import API_KEYS_NAME, PORT, DeploymentOptions
from components.deployment.resources import ServiceResources
from components.deployment.service_facts import ServiceFacts
from components.deployment.shutdown import DRAIN_SECONDS
from components.identity import digest

TargetName = Literal["compose", "kubernetes", "kserve", "systemd"]
TARGETS: tuple[TargetName, ...] = get_args(TargetName)


def render(
    target: TargetName,
    facts: ServiceFacts,
    options: DeploymentOptions,
    resources: ServiceResources,
    names: Sequence[str],
    *,
    platform: bool = False,
) -> str:
    """The README; `names` are the files beside it."""
    commands = {
        "kubernetes": _kubernetes(facts),
        "kserve": _kserve(facts),
        "compose": _compose(facts),
        "systemd": _systemd(facts),
    }[target]
    table = "\n".join(f"| {name} | `{value}` |" for name, value in _facts(facts, options, target).items())
    notes = "\n".join(f"> {line}" for line in resources.notes)
    files = ", ".join(f"`{name}`" for name in names)
    beside = "\nThe platform beside it (`platform/`): see `platform/README.md`.\n" if platform else ""
    return f"""# {facts.model}: {target}

Written by `modelyard deploy {facts.model} --target {target}`:
{files}.
Written again, files that you have edited are named and left alone, unless `--force` is given.

| what | value |
|---|---|
{table}

{notes}

## Apply

{commands}
{beside}
After SIGTERM the service answers what it has accepted (at most {DRAIN_SECONDS} s) and accepts nothing new.
"""


def _facts(facts: ServiceFacts, options: DeploymentOptions, target: TargetName) -> dict[str, str]:
    image = {} if target == "systemd" else {"image": options.image}
    return {
        "version": facts.version,
        "bundle": facts.image,
        "bundle digest": facts.bundle_digest,
        "package digest": facts.package_digest,
        "data digest": facts.data_digest,
        **image,
    }


def _keys(path: str) -> str:
    return (
        f"The API keys of the service are read from a file, which you write: here `{path}`.\nNo key is in these files."
    )


def _kubernetes(facts: ServiceFacts) -> str:
    return f"""Kubernetes 1.30 or later; the autoscaler needs metrics-server. {_keys(f"./{API_KEYS_NAME}")}

```sh
kubectl create secret generic {pod.secret_name(facts)} --from-file={API_KEYS_NAME}=./{API_KEYS_NAME}
kubectl apply --kustomize .
kubectl rollout status deployment/{facts.model}
```

Back to the version before: `kubectl rollout undo deployment/{facts.model}`. The nodes must be able to pull the image:
push it to your registry and name it there with `--image`."""


def _kserve(facts: ServiceFacts) -> str:
    return f"""KServe 0.11 or later on Kubernetes 1.30 or later. {_keys(f"./{API_KEYS_NAME}")}

```sh
kubectl create secret generic {pod.secret_name(facts)} --from-file={API_KEYS_NAME}=./{API_KEYS_NAME}
kubectl apply --kustomize .
kubectl wait --for=condition=Ready --timeout=300s inferenceservice/{facts.model}
```

Where requests come through a gateway in another namespace, name it: `modelyard deploy ... --ingress-namespace NAME`."""


def _compose(facts: ServiceFacts) -> str:
    path = f"secrets/{API_KEYS_NAME}"
    return f"""{_keys(f"./{path}")} The folder keeps other users out; the container's user
must be able to read the file.

```sh
install -d -m 0700 secrets && install -m 0444 {API_KEYS_NAME} {path}
docker compose up --detach --wait
docker compose ps
```

The service listens on 127.0.0.1:{PORT} of this host; put a proxy with TLS before it. `podman-compose`
takes the file too."""


def _systemd(facts: ServiceFacts) -> str:
    short = digest.short(facts.bundle_key)
    home = f"{systemd.HOME}/{facts.model}"
    unit = systemd.unit_name(facts)
    return f"""systemd 250 or later. {_keys(f"{systemd.CONFIGURATION}/{facts.model}/{API_KEYS_NAME}")}
The bundle's folder (the Bento, with `src/` in it) lies in
`{home}/{short}/bundle`, and a Python 3.11 environment with its `env/python/requirements.txt` in `{home}/{short}/venv`.

```sh
install -D -m 0644 {unit} /etc/systemd/system/{unit}
install -D -m 0644 modelyard-{facts.model}.conf /etc/sysusers.d/modelyard-{facts.model}.conf
install -D -m 0644 {systemd.READY} {home}/{systemd.READY}
install -D -m 0400 {API_KEYS_NAME} {systemd.CONFIGURATION}/{facts.model}/{API_KEYS_NAME}
systemd-sysusers && systemctl daemon-reload
systemctl enable --now {systemd.unit_name(facts)}
```

The next version takes over the listening socket, so no connection is refused: enable its unit, and when that command
has returned, stop this one (`systemctl disable --now {systemd.unit_name(facts)}`). The service listens on
127.0.0.1:{PORT}; put a proxy with TLS before it, and run `systemd-analyze security {systemd.unit_name(facts)}`."""
