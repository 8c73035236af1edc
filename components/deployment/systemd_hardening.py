"""What units of systemd 250 or later deny their programs: https://www.freedesktop.org/software/systemd/man/systemd.exec.html"""

from __future__ import annotations

COMMON = """\
# Hardening: `systemd-analyze security` says what each of these denies.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
UMask=0077
"""
# Of a program that needs no device and no other user: a GPU is one, and so is asking the kernel whose a connection is.
ALONE = "PrivateDevices=yes\nPrivateUsers=yes\n"
LOOPBACK_ALONE = "IPAddressDeny=any\nIPAddressAllow=localhost\n"
