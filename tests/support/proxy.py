"""A proxy in front of a server that breaks connections in chosen ways."""

import contextlib
import itertools
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Way = Callable[[socket.socket, tuple[str, int]], None]
"""Handles one connection: takes the client's end, and the server's address."""


class Proxy:
    """Handles its first connections in the given ways, one each, and all others in another way."""

    def __init__(self, target: tuple[str, int], ways: list[Way], others: Way) -> None:
        self._target = target
        self._ways = ways
        self._others = others
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address: tuple[str, int] = self._listener.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                way = self._ways.pop(0) if self._ways else self._others
                threading.Thread(target=self._go, args=(way, client), daemon=True).start()

    def _go(self, way: Way, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            way(client, self._target)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def proxy(target: tuple[str, int], *ways: Way, others: Way | None = None) -> Iterator[Proxy]:
    running = Proxy(target, list(ways), others or straight)
    thread = threading.Thread(target=running.serve)
    thread.start()
    try:
        yield running
    finally:
        running.close()
        thread.join()


def straight(client: socket.socket, target: tuple[str, int]) -> None:
    with socket.create_connection(target) as server:
        requests = threading.Thread(target=_copy, args=(client, server), daemon=True)
        requests.start()
        _copy(server, client)


def to_whoever_listens(targets: Sequence[tuple[str, int]]) -> Way:
    """Straight to the first that accepts, as a load balancer does that tries one after the other."""

    def way(client: socket.socket, _: tuple[str, int]) -> None:
        for target in targets:
            with contextlib.suppress(ConnectionRefusedError):
                straight(client, target)
                return

    return way


def resets(client: socket.socket, _: tuple[str, int]) -> None:
    """Resets the connection once a request has come."""
    message_of(client)
    _reset(client)


def loses_the_answer(client: socket.socket, target: tuple[str, int]) -> None:
    """The server handles the request, and the client gets no response."""
    with socket.create_connection(target) as server:
        server.sendall(message_of(client))
        server.recv(65536)
    _reset(client)


def answers(answer: bytes) -> Way:
    """Responds in place of the server."""

    def way(client: socket.socket, _: tuple[str, int]) -> None:
        message_of(client)
        client.sendall(answer)

    return way


def never_answers(client: socket.socket, _: tuple[str, int]) -> None:
    message_of(client)
    client.recv(1)  # until the client leaves


def held_back(number: int, released: threading.Event) -> Way:
    """Straight, but the request of this number waits until it is released."""

    def way(client: socket.socket, target: tuple[str, int]) -> None:
        with socket.create_connection(target) as server:
            for come in itertools.count(1):
                asked = message_of(client)
                if come == number:
                    released.wait(20)
                server.sendall(asked)
                client.sendall(message_of(server))

    return way


def message_of(client: socket.socket) -> bytes:
    """A whole request or response: its head, and a body of the length in Content-Length."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(client)
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length is not None and len(body) < int(length[1]):
        body += _some(client)
    return head + b"\r\n\r\n" + body


def _some(client: socket.socket) -> bytes:
    content = client.recv(65536)
    if not content:
        raise ConnectionError
    return content


def _copy(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := one.recv(65536):
            other.sendall(content)
        other.shutdown(socket.SHUT_WR)


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
