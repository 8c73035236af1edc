"""How a client knows that the server on a port is this project's, without showing it the secret.

The client sends a random number; the server answers with its HMAC under the secret, over the number and its own port.
Another user's server on the same port cannot answer, nor pass the question on to ours on another port.
"""

from __future__ import annotations

import http.client
import secrets

from components.access.secret import matches, sign

PATH = "/.modelyard/identity"
LONGEST = 128
_PURPOSE = "identity"


def answer(secret: str, nonce: str, port: int) -> str:
    """What a server of the project answers."""
    return sign(secret, _PURPOSE, f"{nonce}:{port}")


def is_ours(host: str, port: int, secret: str, timeout_seconds: float = 2.0) -> bool:
    """Whether the server on a port knows the secret."""
    nonce = secrets.token_hex(16)
    connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    try:
        connection.request("GET", f"{PATH}?nonce={nonce}")
        response = connection.getresponse()
        said = response.read(200).decode("ascii", "replace")
        return response.status == 200 and matches(said, answer(secret, nonce, port))
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
