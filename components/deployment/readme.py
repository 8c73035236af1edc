"""The README beside the files of a target: what they deploy, and the commands that apply them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from components.deployment import pod, systemd
from components.deployment.container import API_KEYS_NAME, PORT, DeploymentOptions
from components.deployment.resources import ServiceResources
from components.deployment.service_facts import ServiceFacts
from components.deployment.shutdown import DRAIN_SECONDS

TargetName = Literal["compose", "kubernetes", "kserve", "systemd"]
OPEN = "**The service of this bundle asks for no key**: whoever reaches it may ask it. Let only those reach it who may."
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


def _keys(facts: ServiceFacts, path: str, follow: str) -> str:
    """What guards the service.

    Args:
        follow: how the running service gets a changed file.
    """
    if not facts.asks_for_keys:
        return OPEN
    return (
        f"The service reads the digests of its API keys from `{path}`; no key is in these files.\n"
        f"`modelyard keys add ./{API_KEYS_NAME} NAME` prints a new key and adds its digest to `./{API_KEYS_NAME}`.\n"
        f"After `keys add` or `keys revoke` the running service still has the file of before; it follows by\n"
        f"`{follow}`."
    )


def _shell(*commands: str | None) -> str:
    lines = "\n".join(command for command in commands if command is not None)
    return f"```sh\n{lines}\n```"


def _kubernetes(facts: ServiceFacts) -> str:
    commands = _shell(
        _cluster_secret(facts),
        "kubectl diff --kustomize . || true",
        "kubectl apply --kustomize .",
        f"kubectl rollout status deployment/{facts.model}",
    )
    return f"""Kubernetes 1.30 or later; the autoscaler needs metrics-server.
{_keys(facts, f"./{API_KEYS_NAME}", _renewed_secret(facts))}

{commands}

Back to the version before: `kubectl rollout undo deployment/{facts.model}`. The nodes must be able to pull the image:
push it to your registry and name it there with `--image`."""


def _kserve(facts: ServiceFacts) -> str:
    commands = _shell(
        _cluster_secret(facts),
        "kubectl diff --kustomize . || true",
        "kubectl apply --kustomize .",
        f"kubectl wait --for=condition=Ready --timeout=300s inferenceservice/{facts.model}",
    )
    protocol = "the Open Inference Protocol (V2)" if facts.speaks_open_inference else "`POST /predict` alone, not V2"
    return f"""KServe 0.15 or later on Kubernetes 1.30 or later. The service of this bundle answers {protocol}.
{_keys(facts, f"./{API_KEYS_NAME}", _renewed_secret(facts))}

{commands}

Where requests come through a gateway in another namespace, name it: `modelyard deploy ... --ingress-namespace NAME`."""


def _cluster_secret(facts: ServiceFacts) -> str | None:
    if not facts.asks_for_keys:
        return None
    return f"kubectl create secret generic {pod.secret_name(facts)} --from-file={API_KEYS_NAME}=./{API_KEYS_NAME}"


def _renewed_secret(facts: ServiceFacts) -> str:
    """The kubelet brings a changed secret into running pods within about a minute."""
    return f"{_cluster_secret(facts)} --dry-run=client --output=yaml | kubectl apply --filename=-"


def _compose(facts: ServiceFacts) -> str:
    path = f"secrets/{API_KEYS_NAME}"
    readable = "\nThe folder keeps other users out; the container's user must be able to read the file."
    commands = _shell(
        f"install -d -m 0700 secrets && install -m 0444 {API_KEYS_NAME} {path}" if facts.asks_for_keys else None,
        "docker compose config --quiet",
        "docker compose up --detach --wait",
        "docker compose ps",
    )
    # A bind mount holds on to the file that was there when the container was created.
    follow = f"install -m 0444 {API_KEYS_NAME} {path} && docker compose up --detach --wait --force-recreate"
    return f"""{_keys(facts, f"./{path}", follow)}{readable if facts.asks_for_keys else ""}

{commands}

The service listens on 127.0.0.1:{PORT} of this host; put a proxy with TLS before it. `podman-compose` takes the file
too."""


def _systemd(facts: ServiceFacts) -> str:
    folder, unit, user = systemd.bundle_folder(facts), systemd.unit_name(facts), f"modelyard-{facts.model}.conf"
    keys = f"{systemd.CONFIGURATION}/{facts.model}/{API_KEYS_NAME}"
    home = systemd.HOME
    asked = (
        " With keys, the start cannot see which bundle answers:\nlook at `/model` with a key first."
        if facts.asks_for_keys
        else ""
    )
    commands = _shell(
        f"install -d {home} && tar -xf {facts.model}.tar -C {home} && sh {folder}/install.sh",
        f"install -D -m 0644 {unit} /etc/systemd/system/{unit}",
        f"install -D -m 0644 {user} /etc/sysusers.d/{user}",
        f"install -D -m 0644 {systemd.READY} {home}/{systemd.READY}",
        f"install -D -m 0400 {API_KEYS_NAME} {keys}" if facts.asks_for_keys else None,
        f"systemd-sysusers && systemctl daemon-reload && systemctl enable --now {unit}",
    )
    return f"""systemd 250 or later, Python 3.11.
{_keys(facts, keys, f"install -D -m 0400 {API_KEYS_NAME} {keys} && systemctl restart {unit}")}
The archive of the bundle (`modelyard bundle {facts.model} --export {facts.model}.tar --with-wheels`) is unpacked below
`{home}` and installed there, as root:

{commands}

The next version takes over the listening socket, so no connection is refused: enable its unit, and when that command
has returned, stop this one (`systemctl disable --now {unit}`).{asked} The service listens on
127.0.0.1:{PORT}; put a proxy with TLS before it. `systemd-analyze security {unit}` judges the unit."""
