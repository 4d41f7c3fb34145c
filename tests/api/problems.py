"""The form of every error."""

from typing import Any

import httpx


def is_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """Asserts that the response is this problem, and returns the document."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"]
    problem: dict[str, Any] = response.json()
    assert set(problem) - {"errors"} == {"type", "title", "status", "detail"}
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert problem["title"]
    assert problem["detail"]
    assert all(set(error) in ({"pointer", "detail"}, {"parameter", "detail"}) for error in problem.get("errors", []))
    return problem
