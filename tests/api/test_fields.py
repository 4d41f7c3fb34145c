"""The fields of a task, over a real socket, on SQLite and on PostgreSQL."""

import pytest

from tests.support.serving import Person, Server

FIELDS = ["id", "title", "completed", "user_id", "created_at", "updated_at", "revision"]


@pytest.fixture
def ann(server: Server) -> Person:
    return server.person()


def test_a_task_has_all_its_fields_in_their_order(ann: Person) -> None:
    assert list(ann.add()) == FIELDS
