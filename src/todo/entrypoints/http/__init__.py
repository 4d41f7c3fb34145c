"""The HTTP entrypoint: a Litestar application. Importing it loads Litestar in a shortened way."""

from todo.entrypoints.http import litestar_internals  # noqa: F401 - before anything here loads Litestar
