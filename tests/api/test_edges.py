"""What holds for every request: invalid bodies, odd methods and paths, errors, CORS, health."""

import gzip
import json
import socket
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import pytest

from tests.api.problems import is_problem
from tests.support.databases import sqlite_url
from tests.support.serving import Person, Server, serving

NOT_JSON = {
    "empty": b"",
    "blank": b"  \n",
    "bad syntax": b'{"title": "x"',
    "trailing": b'{"title": "x"}}',
    "two documents": b'{"title": "x"} {"title": "y"}',
    "single quotes": b"{'title': 'x'}",
    "comment": b'{"title": "x"} // y',
    "NaN": b'{"title": "x", "n": NaN}',
    "huge number": b'{"title": "x", "n": 1e999999}',
    "two byte order marks": b'\xef\xbb\xbf\xef\xbb\xbf{"title": "x"}',
    "UTF-16": '{"title": "x"}'.encode("utf-16"),
    "invalid UTF-8": b'{"title": "\xff"}',
    "invalid UTF-8 in an ignored field": b'{"title": "x", "other": "\xff"}',
    "overlong UTF-8": b'{"title": "\xc0\x80"}',
    "encoded surrogate": b'{"title": "\xed\xa0\x80"}',
    "lone surrogate": b'{"title": "\\ud800"}',
    "lone surrogate before text": b'{"title": "\\ud800abcdef"}',
    "lone low surrogate": b'{"title": "\\udc00"}',
    "lone surrogate in an ignored field": b'{"title": "x", "other": "\\ud800"}',
    "lone surrogate in a name": b'{"title": "x", "\\udfff": 1}',
    "control character": b'{"title": "a\nb"}',
    "nested thousands deep": b'{"title": "x", "other": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "nested thousands deep and open": b"[" * 60_000,
    "nested objects": b'{"a":' * 10_000,
    "NUL": b"\x00",
    "form": b"title=x",
}

NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"

NOT_AN_OBJECT = [b"null", b"true", b"1", b'"title"', b"[]", b'[{"title": "x"}]']


@pytest.fixture
def ann(server: Server) -> Person:
    return server.person()


class TestBodies:
    @pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
    def test_invalid_json_is_400_and_changes_nothing(self, ann: Person, body: bytes) -> None:
        task = ann.add()
        where = f"/api/tasks/{task['id']}"
        for method, path in (("POST", "/api/tasks"), ("PUT", where), ("PATCH", where)):
            response = ann.api.request(method, path, content=body, headers={"Content-Type": "application/json"})
            problem = is_problem(response, 400)
            assert [error["pointer"] for error in problem["errors"]] == [""]
        assert ann.tasks() == [task]

    @pytest.mark.parametrize("body", NOT_AN_OBJECT)
    def test_json_other_than_an_object_is_400(self, ann: Person, body: bytes) -> None:
        assert "object" in is_problem(ann.api.post("/api/tasks", content=body), 400)["detail"]

    def test_a_missing_title_is_400(self, ann: Person) -> None:
        problem = is_problem(ann.api.post("/api/tasks", json={"Title": "x"}), 400)
        assert problem["errors"] == [{"pointer": "/title", "detail": "title is missing."}]

    def test_of_a_repeated_field_the_last_counts(self, ann: Person) -> None:
        assert ann.api.post("/api/tasks", content=b'{"title": "a", "title": "b"}').json()["title"] == "b"

    @pytest.mark.parametrize(
        "media_type",
        ["text/plain", "application/x-www-form-urlencoded", "text/json", "application/xml", "json", "", ";"],
    )
    def test_another_content_type_is_415(self, ann: Person, media_type: str) -> None:
        task = ann.add()
        where = f"/api/tasks/{task['id']}"
        headers = {"Content-Type": media_type}
        for method, path in (("POST", "/api/tasks"), ("PUT", where), ("PATCH", where)):
            is_problem(ann.api.request(method, path, content=b'{"title": "x"}', headers=headers), 415)
        assert ann.tasks() == [task]

    def test_a_byte_order_mark_is_ignored(self, ann: Person) -> None:
        assert ann.api.post("/api/tasks", content=b'\xef\xbb\xbf{"title": "x"}').status_code == 201

    @pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
    def test_a_compressed_body_is_415_and_the_header_says_what_is_read(self, ann: Person, coding: str) -> None:
        body = gzip.compress(b'{"title": "x"}')
        response = ann.api.post("/api/tasks", content=body, headers={"Content-Encoding": coding})
        assert "Content-Encoding" in is_problem(response, 415)["detail"]
        assert response.headers["accept-encoding"] == "identity"
        plain = ann.api.post("/api/tasks", content=b'{"title": "x"}', headers={"Content-Encoding": "identity"})
        assert plain.status_code == 201

    def test_64_kib_are_accepted(self, ann: Person) -> None:
        body = json.dumps({"title": "x", "other": ""}).encode()
        body = body[:-2] + b"x" * (64 * 1024 - len(body)) + body[-2:]
        assert len(body) == 64 * 1024
        assert ann.api.post("/api/tasks", content=body).status_code == 201

    def test_over_64_kib_is_413(self, ann: Person) -> None:
        task = ann.add()
        where = f"/api/tasks/{task['id']}"
        body = b'{"title": "x"}' + b" " * 64 * 1024
        for method, path in (("POST", "/api/tasks"), ("PUT", where), ("PATCH", where)):
            is_problem(ann.api.request(method, path, content=body), 413)
        assert ann.tasks() == [task]

    def test_over_64_kib_is_413_before_the_body_has_come_whole(self, direct_server: Server) -> None:
        ann = direct_server.person()
        head = f"POST /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ann.token}\r\n"
        for length in (
            "Content-Length: 100000000\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n11000\r\n" + "x" * 0x11000,
        ):
            with socket.create_connection(direct_server.address, timeout=10) as connection:
                connection.sendall((head + length).encode())
                assert connection.recv(100).startswith(b"HTTP/1.1 413 ")

    def test_an_incomplete_body_is_not_logged_as_an_error(self, tmp_path: Path) -> None:
        with serving(tmp_path, sqlite_url(tmp_path / "todo.db")) as server:
            ann = server.person()
            head = f"POST /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ann.token}\r\nContent-Length: 20"
            with socket.create_connection(server.address, timeout=10) as connection:
                connection.sendall(head.encode() + b'\r\n\r\n{"title"')
            assert ann.tasks() == []
        assert "ERROR" not in server.printed()

    def test_the_body_of_a_get_or_delete_is_ignored(self, ann: Person) -> None:
        task = ann.add()
        where = f"/api/tasks/{task['id']}"
        assert ann.api.request("GET", where, content=b"{").status_code == 200
        assert ann.api.request("DELETE", where, content=b"{").status_code == 204


class TestIds:
    @pytest.mark.parametrize(
        "text",
        [
            "x",
            "1",
            "null",
            "{braced}",
            "urn:uuid:{id}",
            "{id} ",
            "%20{id}",
            "{id}%0a",
            "{hex}",
            "%ff",
            "'%20OR%20'1'='1",
            "{id}x",
            "x" * 5000,
        ],
    )
    def test_a_malformed_id_is_400_not_404(self, ann: Person, text: str) -> None:
        task = ann.add()
        path = text.replace("{id}", task["id"]).replace("{hex}", task["id"].replace("-", ""))
        where = f"/api/tasks/{path.replace('{braced}', '%7B' + task['id'] + '%7D').replace(' ', '%20')}"
        for method, body in (
            ("GET", None),
            ("PATCH", b'{"completed":true}'),
            ("PUT", b'{"title":"x"}'),
            ("DELETE", None),
        ):
            problem = is_problem(ann.api.request(method, where, content=body), 400)
            assert [error["parameter"] for error in problem["errors"]] == ["id"]
        assert ann.tasks() == [task]


class TestMethodsAndPaths:
    def test_nul_in_an_id_is_400(self, direct_server: Server) -> None:
        is_problem(direct_server.person().api.get(f"/api/tasks/{uuid4()}%00"), 400)

    def test_head_is_get_without_the_body(self, ann: Person) -> None:
        task = ann.add()
        for where in (
            "/api/tasks",
            "/api/tasks?limit=1",
            f"/api/tasks/{task['id']}",
            f"/api/tasks/{uuid4()}",
            "/api/tasks/x",
            "/docs",
            "/docs/swagger-ui.css",
            "/openapi.json",
            "/health/live",
            "/health/ready",
        ):
            got, head = ann.api.get(where), ann.api.head(where)
            assert (head.status_code, head.content) == (got.status_code, b"")
            for name in ("content-type", "content-length", "etag"):
                assert head.headers.get(name) == got.headers.get(name), (where, name)

    @pytest.mark.parametrize(
        ("path", "methods", "allow"),
        [
            ("/api/tasks", ["PUT", "PATCH", "DELETE"], "GET, HEAD, OPTIONS, POST"),
            (
                "/api/tasks/01890a5d-ac96-774b-bcce-b302099a8057",
                ["POST"],
                "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
            ),
            ("/docs", ["POST", "DELETE"], "GET, HEAD, OPTIONS"),
            ("/openapi.json", ["PUT"], "GET, HEAD, OPTIONS"),
            ("/health/live", ["POST"], "GET, HEAD, OPTIONS"),
        ],
    )
    def test_another_method_is_405_with_allow(self, ann: Person, path: str, methods: list[str], allow: str) -> None:
        for method in methods:
            response = ann.api.request(method, path)
            is_problem(response, 405)
            assert response.headers["allow"] == allow
        assert ann.api.options(path).headers["allow"] == allow

    def test_trace_is_405_with_allow(self, direct_server: Server) -> None:
        response = direct_server.person().api.request("TRACE", "/api/tasks")
        is_problem(response, 405)
        assert response.headers["allow"] == "GET, HEAD, OPTIONS, POST"

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("//api//tasks", 404),
            ("/api//tasks", 404),
            ("/api/tasks//", 404),
            ("/%61pi/tasks", 404),
            ("/api/t%61sks", 404),
            ("/api%2Ftasks", 404),
            ("/health%2flive", 404),
            ("/api/tasks/%2F", 400),
            ("/api/tasks/..%2Ftasks", 400),
            ("/api/tasks/%30{rest}", 400),
            ("/api/tasks/", 200),
            ("/api/tasks/{id}/", 200),
        ],
    )
    def test_a_route_has_one_spelling(self, direct_server: Server, path: str, status: int) -> None:
        ann = direct_server.person()
        task = ann.add()["id"]
        path = path.replace("{id}", task).replace("{rest}", task[1:])
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {ann.token}\r\n\r\n"
        with socket.create_connection(direct_server.address, timeout=10) as connection:
            connection.sendall(head.encode())
            assert connection.makefile("rb").readline().split()[1] == str(status).encode()

    @pytest.mark.parametrize("path", ["/x", "/api", "/api/task", "/api/tasks/x/y", "/docs/../x", "/docs/x", "/schema"])
    def test_an_unknown_path_is_404(self, server: Server, ann: Person, path: str) -> None:
        is_problem(ann.api.get(path), 404)
        is_problem(server.anybody.get(path), 404)

    def test_invalid_http_is_a_problem_too(self, direct_server: Server) -> None:
        with socket.create_connection(direct_server.address, timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n")
            response = connection.makefile("rb").read()
        assert response.startswith(b"HTTP/1.1 400 ")
        assert b"application/problem+json" in response


class TestRequestIds:
    def test_a_valid_request_id_is_used_and_returned(self, ann: Person) -> None:
        for path in ("/api/tasks", "/nowhere"):
            assert ann.api.get(path, headers={"X-Request-Id": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"

    @pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", "a,b"])
    def test_an_invalid_request_id_is_replaced(self, ann: Person, given: str) -> None:
        answered = ann.api.get("/api/tasks", headers={"X-Request-Id": given}).headers["x-request-id"]
        assert answered != given
        assert len(answered) == 32


class TestCors:
    ORIGIN: ClassVar = {"Origin": "https://app.example.com"}

    def test_a_configured_origin_passes_the_preflight(self, server: Server) -> None:
        preflight = server.anybody.options(
            f"/api/tasks/{uuid4()}",
            headers={
                **self.ORIGIN,
                "Access-Control-Request-Method": "PATCH",
                "Access-Control-Request-Headers": "authorization,if-match,traceparent,baggage,x-requested-with",
            },
        )
        assert preflight.status_code in (200, 204)
        assert preflight.headers["access-control-allow-origin"] == self.ORIGIN["Origin"]
        assert "PATCH" in preflight.headers["access-control-allow-methods"]
        asked = preflight.request.headers["Access-Control-Request-Headers"]
        assert preflight.headers["access-control-allow-headers"] == asked
        assert preflight.headers.get_list("vary", split_commas=True) == ["Access-Control-Request-Headers", "Origin"]

    def test_a_preflight_can_not_bring_anything_but_names_of_headers_into_the_response(self, server: Server) -> None:
        for names in ("a: b", 'a"b', "<a>", "é"):
            preflight = server.anybody.options(
                "/api/tasks",
                headers=[
                    (b"Origin", self.ORIGIN["Origin"].encode()),
                    (b"Access-Control-Request-Method", b"GET"),
                    (b"Access-Control-Request-Headers", names.encode()),
                ],
            )
            assert preflight.headers["access-control-allow-headers"] == ""

    def test_a_configured_origin_can_read_headers_and_errors(self, server: Server, ann: Person) -> None:
        for response in (
            ann.api.get("/api/tasks", headers=self.ORIGIN),
            ann.api.get("/api/tasks/x", headers=self.ORIGIN),
            ann.api.get("/nowhere", headers=self.ORIGIN),
            ann.api.post("/api/tasks", content=b"x" * 70_000, headers=self.ORIGIN),
            server.anybody.get("/api/tasks", headers=self.ORIGIN),
        ):
            assert response.headers["access-control-allow-origin"] == self.ORIGIN["Origin"]
            exposed = response.headers["access-control-expose-headers"].lower()
            for header in ("etag", "link", "location", "retry-after", "idempotency-replayed"):
                assert header in exposed

    def test_another_origin_is_not_allowed(self, server: Server, ann: Person) -> None:
        for origin in (
            "https://evil.example.com",
            "https://app.example.com.evil.com",
            "null",
            "http://app.example.com",
        ):
            response = ann.api.get("/api/tasks", headers={"Origin": origin})
            assert "access-control-allow-origin" not in response.headers
            preflight = server.anybody.options(
                "/api/tasks", headers={"Origin": origin, "Access-Control-Request-Method": "GET"}
            )
            assert "access-control-allow-origin" not in preflight.headers


class TestHealth:
    def test_it_needs_no_token(self, server: Server) -> None:
        for path in ("/health/live", "/health/ready"):
            response = server.anybody.get(path)
            assert (response.status_code, response.json()) == (200, {"status": "ok"})


class TestOldAndOddClients:
    @pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
    def test_an_offered_upgrade_is_ignored(self, ann: Person, upgrade: str) -> None:
        headers = {"Connection": "Upgrade", "Upgrade": upgrade}
        assert ann.api.post("/api/tasks", json={"title": "x"}, headers=headers).status_code == 201

    @pytest.mark.parametrize(
        "beginning",
        [
            b"\r\nPOST /api/tasks",
            b"M-SEARCH /api/tasks",
            b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nPOST /api/tasks",
        ],
    )
    def test_the_body_of_a_request_with_upgrade_is_never_taken_for_a_request(
        self, direct_server: Server, beginning: bytes
    ) -> None:
        body = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        with socket.create_connection(direct_server.address, timeout=10) as connection:
            connection.sendall(
                b"%b HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: %d\r\n\r\n"
                % (beginning, len(body))
            )
            connection.sendall(body)
            response = connection.makefile("rb").read()
        assert response.count(b"HTTP/1.1 ") == 1 + beginning.count(b"GET")
        assert b"connection: close\r\n" in response

    @pytest.mark.parametrize("kind", [b"Connection: close", b"Transfer-Encoding: nonsense", b"No field at all"])
    def test_the_last_response_reaches_a_client_that_is_still_sending(self, direct_server: Server, kind: bytes) -> None:
        with socket.create_connection(direct_server.address, timeout=10) as connection:
            connection.sendall(b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n%b\r\n\r\n" % kind)
            answered = connection.recv(1, socket.MSG_PEEK)
            for _ in range(10):
                connection.sendall(b"x" * 65_536)
            response = connection.makefile("rb").read()
        assert answered
        assert response.startswith(b"HTTP/1.1 4")
        assert response.endswith(b"}")

    def test_a_trailer_is_not_a_header(self, direct_server: Server) -> None:
        ann = direct_server.person()
        trailer = f"Authorization: Bearer {ann.token}\r\n".encode()
        with socket.create_connection(direct_server.address, timeout=10) as connection:
            connection.sendall(
                b"GET /api/tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"0\r\n" + trailer + b"\r\n"
            )
            assert connection.makefile("rb").read().startswith(b"HTTP/1.1 401 ")

    def test_100_headers_are_accepted_and_101_are_431(self, direct_server: Server) -> None:
        for number, status in ((98, b"200"), (99, b"431")):
            with socket.create_connection(direct_server.address, timeout=10) as connection:
                connection.sendall(
                    b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + b"X: x\r\n" * number + b"\r\n"
                )
                assert connection.makefile("rb").read().startswith(b"HTTP/1.1 %b " % status)


def test_every_origin_may_call_where_origins_are_a_star(tmp_path: Path) -> None:
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), CORS_ORIGINS="*") as server:
        response = server.anybody.get("/health/live", headers={"Origin": "https://any.example.com"})
        assert response.headers["access-control-allow-origin"] == "*"


def test_a_damaged_database_is_500_and_reveals_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db")) as server:
        ann = server.person()
        ann.add("A secret title")
        for file in tmp_path.glob("todo.db*"):
            file.write_bytes(b"SQLite format 3\x00" + b"\xff" * 200_000)
        response = ann.api.get("/api/tasks", headers={"X-Request-Id": "the-one"})
        is_problem(response, 500)
        is_problem(server.anybody.get("/health/ready"), 503)
        for secret in ("sqlite", "SELECT", str(tmp_path), "Traceback", "malformed"):
            assert secret not in response.text
        assert "the-one" in server.printed()
        assert "secret title" not in server.printed()
        assert ann.token not in server.printed()
