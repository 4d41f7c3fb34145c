"""Builds the ASGI application: the routes, the middleware, and what is switched on in the settings."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import starmap
from typing import TYPE_CHECKING, Any

from litestar import HttpMethod, Litestar, Response, Router, get, route
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from todo.composition import Service, compose
from todo.domain.refusals import OperatorNeeded, Unavailable
from todo.entrypoints.http import docs, problems
from todo.entrypoints.http.authentication import authenticate_with
from todo.entrypoints.http.batch import BatchController
from todo.entrypoints.http.changes import ChangesController
from todo.entrypoints.http.cors import Cors
from todo.entrypoints.http.events import EventsController, Watcher
from todo.entrypoints.http.export import ExportController
from todo.entrypoints.http.litestar_internals import call_handlers_directly
from todo.entrypoints.http.logs import AccessLog
from todo.entrypoints.http.middleware import Middleware
from todo.entrypoints.http.tasks import LONG_READS, TaskController
from todo.entrypoints.http.trash import TrashController
from todo.entrypoints.http.web import SignIn, make_handlers
from todo.settings import InvalidSetting, ServerSettings, find_env_file, load_settings

if TYPE_CHECKING:  # loaded where it is switched on
    from todo.entrypoints.http.metrics import Metrics
    from todo.entrypoints.http.tracing import Tracing

logger = logging.getLogger("todo.http")


def make_app(
    service: Service,
    *,
    cors_origins: Sequence[str] = (),
    max_concurrent_requests: int = 256,
    max_event_streams: int = 10_000,
    sign_in: SignIn | None = None,
    access_log: AccessLog | None = None,
    metrics: "Metrics | None" = None,
    tracing: "Tracing | None" = None,
) -> ASGIApp:
    """``sign_in``: how the web page gets a token; without it, there is no page."""
    authenticated = (call_handlers_directly(authenticate_with(service.tokens)),)
    watcher = Watcher(service.feed, max_event_streams)
    service.tasks.listeners.append(watcher.wake)
    use_cases = {"middleware": authenticated, "tasks": service.tasks, "sync": service.sync, "watcher": watcher}
    long_reads = {"long_reads": asyncio.Semaphore(LONG_READS)}
    controllers = [
        type("Controller", (TaskController,), use_cases | long_reads),
        type("Controller", (TrashController,), use_cases | long_reads),
        type("Controller", (BatchController,), use_cases),
        type("Controller", (ChangesController,), use_cases),
        type("Controller", (ExportController,), use_cases | long_reads),
        type("Controller", (EventsController,), use_cases),
    ]

    @asynccontextmanager
    async def close_at_the_end(_: Litestar) -> AsyncIterator[None]:
        yield
        await service.close()
        if access_log is not None:
            access_log.flush()
        if tracing is not None:
            await asyncio.to_thread(tracing.close)

    @get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @get("/health/ready")
    async def ready() -> dict[str, str]:
        try:
            await service.check_ready()
        except OperatorNeeded as error:
            raise Unavailable("The database can't be used; the log says why.") from error
        return {"status": "ok"}

    handlers: list[Any] = [live, ready, *docs.HANDLERS]
    if sign_in is not None:
        handlers += make_handlers(sign_in)
    if metrics is not None:

        @get("/metrics")
        async def render_metrics() -> Response[bytes]:
            return Response(metrics.render(), media_type=metrics.MEDIA_TYPE)

        handlers.append(render_metrics)
    # Before the controllers: of several handlers at one path, Litestar's own OPTIONS names one method alone.
    api = Router("/api", route_handlers=[*starmap(_answer_options, _METHODS.items()), *controllers])
    app = Litestar(
        route_handlers=[api, *handlers],
        exception_handlers={Exception: problems.respond},
        lifespan=[close_at_the_end],
        openapi_config=None,
        logging_config=None,
    )
    observers = [observer for observer in (access_log, metrics, tracing) if observer is not None]
    cors, tokens = Cors(cors_origins), service.tokens
    return Middleware(app, cors, max_concurrent_requests, lambda: tokens.waiting, observers)


_METHODS = {
    "/tasks": "GET, POST",
    "/tasks/{task_id:str}": "DELETE, GET, PATCH, PUT",
    "/batch": "POST",
    "/changes": "GET",
    "/events": "GET",
    "/export": "GET",
    "/trash": "DELETE, GET",
    "/trash/{task_id:str}": "DELETE",
    "/trash/{task_id:str}/restore": "POST",
}


def _answer_options(path: str, methods: str) -> HTTPRouteHandler:
    @route(path, http_method=HttpMethod.OPTIONS, status_code=204)
    async def options() -> Response[None]:
        return Response(None, headers={"Allow": f"{methods}, OPTIONS"})

    return options


def make_app_from_environment(*, may_pause: bool = False) -> ASGIApp:
    """Raises InvalidSetting. ``may_pause``: as of ``make_app_from_settings``."""
    settings = load_settings(ServerSettings, os.environ, find_env_file(os.environ))
    return make_app_from_settings(settings, may_pause=may_pause)


def make_app_from_settings(settings: ServerSettings, *, may_pause: bool = False) -> ASGIApp:
    """Raises InvalidSetting. ``may_pause``: whether the host may stop the process between requests."""
    if settings.key_set_url is not None and not settings.audiences:
        logger.warning(
            "JWT_AUDIENCE is not set: a token that the same issuer made for another service is accepted here, too"
        )
    service = compose(settings)
    metrics = None
    if settings.metrics:
        from todo.entrypoints.http.metrics import Metrics

        metrics = Metrics(service.read_stats)
    tracing = _load_tracing(settings)
    return make_app(
        service,
        cors_origins=settings.cors_origins,
        max_concurrent_requests=settings.max_concurrent_requests,
        max_event_streams=settings.max_event_streams,
        sign_in=SignIn(settings.token_url, has_link=settings.uses_own_secret) if settings.web else None,
        access_log=AccessLog(settings.log_hash_key, is_batched=not may_pause) if settings.access_log else None,
        metrics=metrics,
        tracing=None if tracing is None else tracing(),
    )


def check_settings(settings: ServerSettings) -> None:
    """Raises InvalidSetting if ``make_app_from_settings`` would; makes no application."""
    compose(settings)
    _load_tracing(settings)


def _load_tracing(settings: ServerSettings) -> "type[Tracing] | None":
    if not settings.tracing:
        return None
    try:
        from todo.entrypoints.http.tracing import Tracing
    except ImportError:
        raise InvalidSetting("TRACING needs OpenTelemetry, which comes with the extra todo[otel]") from None
    return Tracing
