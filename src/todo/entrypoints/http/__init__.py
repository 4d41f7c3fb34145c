"""The HTTP entrypoint: a Litestar application."""

from todo.entrypoints.http import shortcuts  # noqa: F401 - before anything here loads Litestar
