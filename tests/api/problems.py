"""The form that every error has."""

from typing import Any

import httpx


def is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Asserts it, and returns the document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    problem: dict[str, Any] = answer.json()
    assert set(problem) - {"errors"} == {"type", "title", "status", "detail"}
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert problem["title"]
    assert problem["detail"]
    assert all(set(error) in ({"pointer", "detail"}, {"parameter", "detail"}) for error in problem.get("errors", []))
    return problem
