"""A token issuer that can fail in every way, and its keys."""

import contextlib
import gzip
import json
import socket
import socketserver
import struct
import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.support.secrets import keep_secret

MAKERS: Mapping[str, Callable[[], Any]] = {
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "PS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
}

EMAIL = keep_secret("ann@mail.example")
SUBJECT = keep_secret("a-person-named-ann")


class SigningKey:
    def __init__(self, kid: str, algorithm: str = "EdDSA") -> None:
        self.kid = kid
        self.algorithm = algorithm
        self.private = MAKERS[algorithm]()

    def named(self, kid: str) -> "SigningKey":
        """The same key with another kid."""
        other = copy(self)
        other.kid = kid
        return other

    @property
    def jwk(self) -> dict[str, Any]:
        """As Better Auth publishes it."""
        public = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "alg": self.algorithm, "kid": self.kid}

    def sign(self, claims: Mapping[str, Any] | bytes, **header: Any) -> str:
        """Signs any claims, valid or not."""
        return compact({"alg": self.algorithm, "kid": self.kid, **header}, claims, self._sign)

    def sign_without_kid(self, claims: Mapping[str, Any]) -> str:
        return compact({"alg": self.algorithm}, claims, self._sign)

    def _sign(self, content: bytes) -> bytes:
        signature: bytes = jwt.get_algorithm_by_name(self.algorithm).sign(content, self.private)
        return signature


def compact(
    header: Mapping[str, Any] | bytes, claims: Mapping[str, Any] | bytes, sign: Callable[[bytes], bytes]
) -> str:
    """A JWS in compact serialization (RFC 7515, section 7.1), valid or not."""
    signed = b".".join(
        segment(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, claims)
    )
    return keep_secret(b".".join((signed, segment(sign(signed)))).decode())


def segment(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


Behaviour = Callable[["Issuer", socket.socket], None]


class Issuer:
    """Publishes ``keys`` at /api/auth/jwks, unless ``behaviour`` is set to something else."""

    def __init__(self) -> None:
        self.keys = [SigningKey("first")]
        self.behaviour: Behaviour = publishes
        self.released = threading.Event()
        """Set it to end responses that hang or drip."""
        self._asked = threading.Condition()
        self.requests: list[str] = []
        """The request lines received so far."""
        self.port = 0
        self._listener: _Listener | None = None

    def come_up(self) -> None:
        """Listens, on the same port as before if it was up before."""
        self._listener = _Listener(self)
        self.port = self._listener.server_address[1]
        threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.01}).start()

    def go_down(self) -> None:
        """Stops listening."""
        if self._listener is not None:
            self._listener.shutdown()
            self._listener.server_close()
            self._listener = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def claims(self, **claims: Any) -> dict[str, Any]:
        """The claims of a valid token, with these changes; None removes a claim."""
        now = datetime.now(UTC)
        good = {
            "sub": SUBJECT,
            "email": EMAIL,
            "iat": now.timestamp(),
            "exp": (now + timedelta(minutes=15)).timestamp(),
            "iss": self.url,
            "aud": self.url,
        }
        return {name: value for name, value in {**good, **claims}.items() if value is not None}

    def token(self, key: SigningKey | None = None, **claims: Any) -> str:
        return (key or self.keys[0]).sign(self.claims(**claims))

    def note(self, line: str) -> None:
        with self._asked:
            self.requests.append(line)
            self._asked.notify_all()

    def wait_for_request(self, number: int) -> None:
        """Blocks until this many requests have been received in total."""
        with self._asked:
            assert self._asked.wait_for(lambda: len(self.requests) >= number, timeout=20)


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, issuer: "Issuer") -> None:
        self.issuer = issuer
        super().__init__(("127.0.0.1", issuer.port), _Handler)


class _Handler(socketserver.BaseRequestHandler):
    server: _Listener

    def handle(self) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            chunk = self.request.recv(65536)
            if not chunk:
                return
            received += chunk
        issuer = self.server.issuer
        issuer.note(received.split(b"\r\n")[0].decode())
        with contextlib.suppress(OSError):  # the client may have disconnected
            issuer.behaviour(issuer, self.request)


@contextmanager
def breakable_issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    issuer.come_up()
    try:
        yield issuer
    finally:
        issuer.released.set()
        issuer.go_down()


def answers(body: bytes, status: str = "200 OK", *headers: str) -> Behaviour:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    answer = "\r\n".join([*head, "", ""]).encode() + body
    return lambda _, connection: connection.sendall(answer)


def key_set(*jwks: Mapping[str, Any]) -> Behaviour:
    return answers(json.dumps({"keys": jwks}).encode())


def publishes(issuer: Issuer, connection: socket.socket) -> None:
    key_set(*(key.jwk for key in issuer.keys))(issuer, connection)


def hangs(issuer: Issuer, _: socket.socket) -> None:
    issuer.released.wait()


def drips(issuer: Issuer, connection: socket.socket) -> None:
    """Sends a byte every 20 ms, so that the response would take minutes."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not issuer.released.wait(0.02):
        connection.sendall(b" ")


def resets(_: Issuer, connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def redirects(issuer: Issuer, connection: socket.socket) -> None:
    """Redirects to a URL with a valid key set."""
    answer = publishes if "elsewhere" in issuer.requests[-1] else answers(b"", "302 Found", "Location: /elsewhere")
    answer(issuer, connection)


def _huge(issuer: Issuer, connection: socket.socket) -> None:
    """A key set that is valid but for its size."""
    padding = "x" * (1024 * 1024)
    key_set(*(key.jwk for key in issuer.keys), {"kty": padding})(issuer, connection)


def _compressed(issuer: Issuer, connection: socket.socket) -> None:
    """A valid key set, compressed although the client did not accept that."""
    document = json.dumps({"keys": [key.jwk for key in issuer.keys]}).encode()
    answers(gzip.compress(document), "200 OK", "Content-Encoding: gzip")(issuer, connection)


BROKEN: Mapping[str, Behaviour] = {
    "500": answers(b"{}", "500 Internal Server Error"),
    "429": answers(b"{}", "429 Too Many Requests", "Retry-After: 60"),
    "404": answers(b"", "404 Not Found"),
    "204": answers(b"", "204 No Content"),
    "HTML": answers(b"<!doctype html><title>Sign in</title>", "200 OK", "Content-Type: text/html"),
    "no JSON": answers(b"{"),
    "not UTF-8": answers(b'{"keys": ["\xff"]}'),
    "nested deep": answers(b'{"keys": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}"),
    "an array": answers(b"[]"),
    "no keys": answers(b"{}"),
    "empty set": key_set(),
    "set of symmetric keys": key_set({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "first"}),
    "set of junk": answers(
        b'{"keys": [1, null, {}, {"kid": 5, "kty": "OKP"}, {"kid": "x", "kty": "EC", "crv": "P-256"}]}'
    ),
    "huge": _huge,
    "compressed": _compressed,
    "redirect": redirects,
    "no HTTP": lambda _, connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "cut off": lambda _, connection: connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"keys"'),
    "closes": lambda _, __: None,
    "reset": resets,
    "hang": hangs,
    "drip": drips,
}
"""Ways in which fetching a key set can fail."""
