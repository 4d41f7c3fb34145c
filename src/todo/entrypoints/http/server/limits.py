"""Timeouts and size limits of a client's connection."""

CHECK_INTERVAL = 2
"""Seconds between two timeout checks of a connection; a timer for each request would cost 4 µs of each."""

REQUEST_TIMEOUT = 30
"""Seconds in which a request has to come whole, and a client has to read something of what it is sent."""

SHUTDOWN_DELAY = 0.5  # seconds in which a request that is on its way to a stopping server is still answered
LINGER_TIMEOUT = 2  # seconds for which a client may continue to send after its last response
MAX_FIELDS = 100  # of a request's head: each takes much more memory than its bytes

MAX_HEAD, MAX_MESSAGE = 64 * 1024, 2 * 1024 * 1024
"""Bytes of a request. What the application reads of a body has a bound of its own."""

HEAD_TOO_LONG = (
    f"The request's head is longer than {MAX_HEAD // 1024} KiB, or has more than {MAX_FIELDS} fields; send fewer"
    " headers, or a token without a picture (Better Auth: definePayload)."
)

MAX_PIPELINED = 1000  # requests of a connection that wait behind the one that is served
MAX_UNREAD_BODY = 64 * 1024  # bytes that wait for the application
