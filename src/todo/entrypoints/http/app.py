"""The application: routes, and what surrounds them."""

import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from litestar import Litestar, Router, get
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.types import ASGIApp

from todo.composition import Service, compose
from todo.domain.tasks import Tasks
from todo.entrypoints.http import docs, problems
from todo.entrypoints.http.authentication import BearerAuthentication
from todo.entrypoints.http.cors import Cors
from todo.entrypoints.http.edge import Edge
from todo.entrypoints.http.requests import BODY_LENGTH
from todo.entrypoints.http.tasks import TaskController, options_of_list, options_of_task
from todo.settings import load

logger = logging.getLogger("todo.http")


def create_app(service: Service, *, cors_origins: Sequence[str] = ()) -> ASGIApp:
    def provide_tasks() -> Tasks:
        return service.tasks

    @asynccontextmanager
    async def closing(_: Litestar) -> AsyncIterator[None]:
        yield
        await service.close()

    @get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @get("/health/ready")
    async def ready() -> dict[str, str]:
        await service.check_ready()
        return {"status": "ok"}

    api = Router(
        "/api",
        route_handlers=[options_of_list, options_of_task, TaskController],
        dependencies={"tasks": Provide(provide_tasks, sync_to_thread=False)},
        middleware=[DefineMiddleware(BearerAuthentication, tokens=service.tokens)],
        request_max_body_size=BODY_LENGTH,
    )
    app = Litestar(
        route_handlers=[api, live, ready, docs.openapi_json, docs.page, docs.start, docs.asset],
        exception_handlers={Exception: problems.respond},
        lifespan=[closing],
        openapi_config=None,
        logging_config=None,
    )
    return Edge(app, Cors(cors_origins))


def from_environment() -> ASGIApp:
    """For an ASGI server that imports its application. Raises InvalidSetting."""
    settings = load(os.environ)
    if settings.key_set_url is not None and not settings.audiences:
        logger.warning(
            "JWT_AUDIENCE is not set: a token that the same issuer made for another service is taken here too"
        )
    return create_app(compose(settings), cors_origins=settings.cors_origins)
