"""Apache with mod_auth_openidc before a server, as docs/team.md describes it, and a provider of OpenID Connect."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.free_ports import free_port

ROOT = Path(__file__).resolve().parents[1]
MODULES = Path("/usr/lib/apache2/modules")
APACHE = shutil.which("apache2") or shutil.which("apache2", path="/usr/sbin")
PROVIDER = shutil.which("oidc-provider-mock")
START_SECONDS = 30.0
_CONFIGURATION = """ServerRoot "{folder}"
PidFile "{folder}/pid"
ErrorLog "{folder}/error.log"
Mutex file:{folder}
Listen 127.0.0.1:{port}
{modules}
<VirtualHost *:{port}>
ServerName localhost:{port}
SSLEngine on
SSLCertificateFile "{folder}/certificate.pem"
SSLCertificateKeyFile "{folder}/key.pem"
{documented}
</VirtualHost>
"""
_USED = (
    "mpm_event", "authn_core", "authz_core", "authz_user", "auth_openidc", "headers", "proxy", "proxy_http", "ssl",
)  # fmt: skip


def missing() -> str | None:
    """Why there can be none here; None if there can."""
    if APACHE is None or not (MODULES / "mod_auth_openidc.so").exists():
        return "`apt-get install apache2 libapache2-mod-auth-openidc` first"
    return None if PROVIDER else "`pip install oidc-provider-mock` first"


@dataclass(frozen=True)
class OidcProxy:
    """A running proxy.

    Args:
        name: its host with its port.
    """

    name: str
    certificate: Path

    @contextmanager
    def session(self) -> Iterator[httpx.Client]:
        """A browser's session: cookies are kept, redirections followed."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        with httpx.Client(
            base_url=f"https://{self.name}", verify=context, follow_redirects=True, trust_env=False, timeout=30
        ) as client:
            yield client


def log_in(client: httpx.Client, user: str, path: str) -> httpx.Response:
    """Ask for a page, log in where the provider asks for it; the page that follows."""
    asked = client.get(path)
    assert "Authorize Client" in asked.text, asked.text
    return client.post(asked.url, data={"sub": user})


@contextmanager
def running(folder: Path, port: int, server: int, secret: str) -> Iterator[OidcProxy]:
    """The provider, and the proxy on `port` before the server on port `server`."""
    folder.mkdir()
    certificate = folder / "certificate.pem"
    _make_certificate(folder)
    provider = free_port()
    for name, content in (("oidc-client", "client"), ("oidc-session", "session"), ("proxy-secret", secret)):
        (folder / name).write_text(content)
    documented = re.search(r"```apache\n(.*?)```", (ROOT / "docs" / "team.md").read_text(), re.DOTALL)
    assert documented is not None
    places = {
        "https://login.example": f"http://localhost:{provider}", "mlflow.example": f"localhost:{port}",
        "/etc/modelyard": str(folder), "127.0.0.1:5000": f"127.0.0.1:{server}", "preferred_username": "sub",
    }  # fmt: skip
    text = documented[1]
    for old, new in places.items():
        assert old in text, old
        text = text.replace(old, new)
    modules = "\n".join(f'LoadModule {name}_module "{MODULES}/mod_{name}.so"' for name in _USED)
    configuration = folder / "apache.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, port=port, modules=modules, documented=text))
    commands = (
        ([str(PROVIDER), "--port", str(provider)], f"http://localhost:{provider}/.well-known/openid-configuration"),
        ([str(APACHE), "-f", str(configuration), "-DFOREGROUND"], f"https://localhost:{port}/oidc"),
    )
    with ExitStack() as during:
        for number, (words, url) in enumerate(commands):
            log = during.enter_context((folder / f"{number}.log").open("w+"))
            process = during.enter_context(subprocess.Popen(words, stdout=log, stderr=log))
            during.callback(process.terminate)
            _wait(process, url, folder)
        yield OidcProxy(f"localhost:{port}", certificate)


def _make_certificate(folder: Path) -> None:
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    named = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run([*words, *named], cwd=folder, check=True, capture_output=True)


def _wait(process: subprocess.Popen[bytes], url: str, folder: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(url, verify=False, trust_env=False, timeout=5)  # whatever it answers
            return
        except httpx.TransportError:
            said = "".join(path.read_text() for path in sorted(folder.glob("*.log")))
            assert process.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.1)
