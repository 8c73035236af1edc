"""Run commands one after the other and note what became of each, in a network of their own if told so.

`python -m tests.quiet_network SCRIPT.json RESULT.json counted`, as root, in fresh network and mount namespaces, brings
loopback up and gives the default route, with the only name server, to an interface whose other end nobody reads: the
packets that it sends are those that would have left the machine. Without `counted` the network stays as it is.

The script names `environment` (all variables), `folder` (where they run) and `commands`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

INTERFACE = "outward0"
OTHER_END = "nowhere0"
PAIR = f"ip link add {INTERFACE} type veth peer name {OTHER_END}"
NAME_SERVER = "192.0.2.1"  # of the range for documentation (RFC 5737)
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def available() -> str | None:
    """Why packets cannot be counted here; None where they can."""
    if os.getuid() != 0:
        return "only root can make a network namespace"
    try:
        done = subprocess.run([*UNSHARE, *PAIR.split()], capture_output=True, text=True)
    except FileNotFoundError:
        return "unshare is not installed"
    return f"no interface can be made: {done.stderr.strip()}" if done.returncode else None


def packets() -> int:
    """How many packets were sent to the world so far."""
    shown = subprocess.run(["ip", "-s", "-j", "link", "show", INTERFACE], capture_output=True, check=True).stdout
    return int(json.loads(shown)[0]["stats64"]["tx"]["packets"])


def isolate(names: Path) -> None:
    """Set up the network of this namespace.

    Args:
        names: a file that takes the place of `/etc/resolv.conf`.
    """
    names.write_text(f"nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n")
    names.chmod(0o644)
    for words in (
        "ip link set lo up",
        PAIR,
        *(f"sysctl -qw net.ipv6.conf.{name}.disable_ipv6=1" for name in (INTERFACE, OTHER_END)),
        f"ip link set {OTHER_END} up",
        f"ip link set {INTERFACE} arp off",
        f"ip address add 192.0.2.2/24 dev {INTERFACE}",
        f"ip link set {INTERFACE} up",
        f"ip route add default via {NAME_SERVER} dev {INTERFACE}",
        f"mount --bind {names} {Path('/etc/resolv.conf').resolve()}",
    ):
        subprocess.run(words.split(), check=True)


def main() -> None:
    """Run the commands, write exit code, output and packets of each."""
    script, result = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    counted = sys.argv[3:] == ["counted"]
    if counted:
        isolate(result.with_name("resolv.conf"))
    rows = []
    for command in script["commands"]:
        before = packets() if counted else 0
        done = subprocess.run(
            command, cwd=script["folder"], env=script["environment"], capture_output=True, text=True, check=False
        )
        sent = packets() - before if counted else 0
        rows.append({"code": done.returncode, "output": done.stdout, "errors": done.stderr, "packets": sent})
    result.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
