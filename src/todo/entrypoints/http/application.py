"""The application: routes, and what surrounds them."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from litestar import Litestar, Response, Router, get
from litestar.types import ASGIApp

from todo.composition import Service, compose
from todo.entrypoints.http import docs, problems
from todo.entrypoints.http.authentication import authenticated
from todo.entrypoints.http.cors import Cors
from todo.entrypoints.http.edge import Edge
from todo.entrypoints.http.logs import RequestLog
from todo.entrypoints.http.tasks import LONG_READS, TaskController, options_of_list, options_of_task
from todo.settings import InvalidSetting, Settings, load

if TYPE_CHECKING:  # loaded where it is switched on
    from todo.entrypoints.http.metrics import Metrics
    from todo.entrypoints.http.tracing import Tracing

logger = logging.getLogger("todo.http")


def create_app(
    service: Service,
    *,
    cors_origins: Sequence[str] = (),
    requests_at_once: int = 256,
    log: RequestLog | None = None,
    metrics: "Metrics | None" = None,
    tracing: "Tracing | None" = None,
) -> ASGIApp:
    class Controller(TaskController):
        middleware = (authenticated(service.tokens),)
        tasks = service.tasks
        long_reads = asyncio.Semaphore(LONG_READS)

    @asynccontextmanager
    async def closing(_: Litestar) -> AsyncIterator[None]:
        yield
        await service.close()
        if log is not None:
            log.flush()
        if tracing is not None:
            await asyncio.to_thread(tracing.close)

    @get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @get("/health/ready")
    async def ready() -> dict[str, str]:
        await service.check_ready()
        return {"status": "ok"}

    handlers: list[Any] = [live, ready, docs.openapi_json, docs.page, docs.start, docs.asset]
    if metrics is not None:

        @get("/metrics")
        async def scraped() -> Response[bytes]:
            return Response(metrics.page(), media_type=metrics.MEDIA_TYPE)

        handlers.append(scraped)
    api = Router("/api", route_handlers=[options_of_list, options_of_task, Controller])
    app = Litestar(
        route_handlers=[api, *handlers],
        exception_handlers={Exception: problems.respond},
        lifespan=[closing],
        openapi_config=None,
        logging_config=None,
    )
    observers = [observer for observer in (log, metrics, tracing) if observer is not None]
    return Edge(app, Cors(cors_origins), requests_at_once, observers)


def from_environment() -> ASGIApp:
    """For an ASGI server that imports its application. Raises InvalidSetting."""
    return from_settings(load(os.environ))


def from_settings(settings: Settings) -> ASGIApp:
    """Raises InvalidSetting."""
    if settings.key_set_url is not None and not settings.audiences:
        logger.warning(
            "JWT_AUDIENCE is not set: a token that the same issuer made for another service is taken here too"
        )
    service = compose(settings)
    metrics = None
    if settings.metrics:
        from todo.entrypoints.http.metrics import Metrics

        metrics = Metrics(service.readings)
    tracing = _tracing(settings)
    return create_app(
        service,
        cors_origins=settings.cors_origins,
        requests_at_once=settings.requests_at_once,
        log=RequestLog(settings.log_hash_key) if settings.request_log else None,
        metrics=metrics,
        tracing=None if tracing is None else tracing(),
    )


def check(settings: Settings) -> None:
    """Raises InvalidSetting if ``from_settings`` would; makes no application."""
    compose(settings)
    _tracing(settings)


def _tracing(settings: Settings) -> "type[Tracing] | None":
    if not settings.traces:
        return None
    try:
        from todo.entrypoints.http.tracing import Tracing
    except ImportError:
        raise InvalidSetting("TRACES wants OpenTelemetry, which comes with the extra todo[otel]") from None
    return Tracing
