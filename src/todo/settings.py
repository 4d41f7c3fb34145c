"""The settings of the server and of the command line, read from the environment and then from `.env`."""

import difflib
import os
import re
from collections.abc import Collection, Mapping
from io import StringIO
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import idna
import msgspec
from dotenv.parser import parse_stream
from platformdirs import user_data_path

SECRET_LENGTH = 32  # the fewest bytes of a shared secret (RFC 7518, section 3.2: no shorter than the hash)

# As browsers write it (RFC 6454, section 6.1), because it is compared letter by letter.
_HOST_AND_PORT = r"([a-z0-9._-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?"
_HTTP_ORIGIN = f"https?://{_HOST_AND_PORT}"
_ORIGIN = f"[a-z][a-z0-9+.-]*://{_HOST_AND_PORT}"  # of apps and of browser extensions, too


class InvalidSetting(Exception):
    """A setting is wrong; the text is one line that names it and never shows a secret."""


class _Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Each field is the setting of that name in capitals. An empty setting counts as not set."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"  # secrets stay out of tracebacks


class ServerSettings(_Settings, frozen=True, kw_only=True):
    """Where tasks are stored, which tokens are accepted, and how requests are served."""

    database_url: str | None = None
    database_pool_size: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 16
    database_pool_idle_timeout: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 300
    """Seconds after which an unused connection is closed; with 0 none is kept."""
    database_timeout: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 1.5
    """Seconds that PostgreSQL gets for each statement."""
    database_prepared_statements: bool | None = None  # None: by host name; Neon's poolers support none
    max_concurrent_requests: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 256
    """Of one process; more are refused."""
    keep_alive_timeout: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 75
    """Seconds for which an idle connection of a client is kept."""
    access_log: bool = True
    log_hash_key: str | None = None  # keys the hashes of user ids in the log; without it each process makes its own
    metrics: bool = False
    tracing: bool = False
    better_auth_url: str | None = None
    better_auth_secret: str | None = None
    jwt_jwks_url: str | None = None
    jwt_issuer: tuple[str, ...] = ()
    jwt_audience: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.database_url is not None:
            _check_database_url(self.database_url)
        if self.better_auth_secret is not None and len(self.better_auth_secret.encode()) < SECRET_LENGTH:
            raise InvalidSetting(f"BETTER_AUTH_SECRET is shorter than {SECRET_LENGTH} bytes")
        _check_url("BETTER_AUTH_URL", self.better_auth_url)
        _check_url("JWT_JWKS_URL", self.jwt_jwks_url, allows_query=True)
        for number, origin in enumerate(self.cors_origins, 1):
            if not (re.fullmatch(_ORIGIN, origin) or self.cors_origins == ("*",)):
                raise InvalidSetting(f"CORS_ORIGINS: number {number} is not an origin, such as https://app.example.com")

    @property
    def database_file(self) -> Path | None:
        """The SQLite file; None if the database is PostgreSQL."""
        if self.database_url is None:
            return get_data_directory() / "todo.db"
        if self.database_url.startswith("sqlite:"):
            return Path(self.database_url.removeprefix("sqlite:///"))
        return None

    @property
    def key_set_url(self) -> str | None:
        """Where the issuer publishes its keys; None if tokens are signed with a shared secret.

        As Better Auth does, takes a URL with a path for one that has its API there, not at /api/auth.
        """
        if self.jwt_jwks_url is not None or self.better_auth_url is None:
            return self.jwt_jwks_url
        path = urlsplit(self.better_auth_url).path.rstrip("/")
        return f"{_parse_origin(self.better_auth_url)}{path or '/api/auth'}/jwks"

    @property
    def issuers(self) -> tuple[str, ...]:
        """The accepted iss; every one if there are none."""
        return self.jwt_issuer or self._origin

    @property
    def audiences(self) -> tuple[str, ...]:
        """The accepted aud; every one if there are none."""
        return self.jwt_audience or self._origin

    @property
    def _origin(self) -> tuple[str, ...]:
        return () if self.better_auth_url is None else (_parse_origin(self.better_auth_url),)

    @property
    def uses_own_secret(self) -> bool:
        """Whether tokens are checked with this machine's own secret, since no key set and no other secret is set."""
        return not any((self.better_auth_url, self.jwt_jwks_url, self.better_auth_secret))


class ClientSettings(_Settings, frozen=True, kw_only=True):
    """As whom the command line works, and on which server if on any."""

    todo_user: str | None = None
    todo_server: str | None = None
    todo_token: str | None = None

    def __post_init__(self) -> None:
        _check_url("TODO_SERVER", self.todo_server)
        if self.todo_token is not None and not re.fullmatch("[!-~]+", self.todo_token):
            raise InvalidSetting("TODO_TOKEN has a character that no token has")


S = TypeVar("S", ServerSettings, ClientSettings)

_NAMES = tuple(name.upper() for kind in (ServerSettings, ClientSettings) for name in kind.__struct_fields__)


def get_data_directory() -> Path:
    """Where the default database and the user's state are."""
    return user_data_path("todo", appauthor=False)


def load_settings(kind: type[S], environ: Mapping[str, str], dotenv: Path = Path(".env")) -> S:
    """Raises InvalidSetting."""
    from_file = _read_dotenv(dotenv, _NAMES)
    values: dict[str, Any] = {}
    for field in kind.__struct_fields__:
        name = field.upper()
        value = environ.get(name, "").strip() or from_file.get(name, "").strip()
        if not value:
            continue
        if not value.isprintable():
            raise InvalidSetting(f"{name} has an unprintable character in it")
        is_list = kind.__annotations__[field] == tuple[str, ...]
        values[field] = _split_list(name, value) if is_list else value
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        why, _, field = str(error).partition(" - at `$.")
        raise InvalidSetting(f"{field.rstrip('`').upper()}: {why[0].lower()}{why[1:]}") from None


def _split_list(name: str, value: str) -> list[str]:
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not parts or re.search("[\"'; ]", "".join(parts)):
        raise InvalidSetting(f"{name} must be a list with commas between its parts, without quotes and spaces")
    return parts


def _read_dotenv(dotenv: Path, names: Collection[str]) -> dict[str, str]:
    """Without interpolation: a dollar sign in a password is a dollar sign."""
    if not os.path.lexists(dotenv):
        return {}
    if not dotenv.is_file():
        raise InvalidSetting(f"{dotenv} is not a file")
    try:
        bindings = list(parse_stream(StringIO(dotenv.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{dotenv} can't be read: {type(error).__name__}") from None
    values: dict[str, str] = {}
    for binding in bindings:
        if binding.error or (binding.key is not None and binding.value is None):
            raise InvalidSetting(f"{dotenv}, line {binding.original.line}: this is not NAME=value")
        if binding.key is not None:
            if binding.key not in names:
                # The name is not shown: it may be a value that slipped onto a line of its own.
                close = difflib.get_close_matches(binding.key.upper(), names, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise InvalidSetting(f"{dotenv}, line {binding.original.line}: unknown setting{hint}")
            values[binding.key] = binding.value or ""
    return values


def _check_database_url(url: str) -> None:
    scheme, _, rest = url.partition(":")
    if scheme in ("postgres", "postgresql"):
        if re.split("[/?]", rest.removeprefix("//"), maxsplit=1)[0].count("@") > 1:
            raise InvalidSetting("DATABASE_URL: write an @ in its user name or password as %40")
        return
    if scheme != "sqlite":
        raise InvalidSetting("DATABASE_URL must begin with sqlite:///, postgresql:// or postgres://")
    if not re.fullmatch("///[^?#]+", rest) or rest == "///:memory:":
        raise InvalidSetting("DATABASE_URL must name a file: sqlite:///relative/path or sqlite:////absolute/path")


def _check_url(name: str, url: str | None, *, allows_query: bool = False) -> None:
    if url is None:
        return
    try:
        parts = urlsplit(url)
        is_http = parts.scheme in ("http", "https") and "@" not in parts.netloc and parts.port != 0
        is_valid = is_http and re.fullmatch(_HTTP_ORIGIN, _parse_origin(url)) is not None
    except ValueError:
        is_valid = False
    if not is_valid:
        raise InvalidSetting(f"{name} is not an http or https URL, or has a user name or password in it")
    if not allows_query and not {"?", "#"}.isdisjoint(url):
        raise InvalidSetting(f"{name} has a query or a fragment in it")


def _parse_origin(url: str) -> str:
    """As browsers and Node write it (RFC 6454, section 6.2). Raises ValueError."""
    parts = urlsplit(url)
    port = "" if parts.port in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{_normalise_host(parts.hostname or '')}{port}"


def _normalise_host(host: str) -> str:
    if ":" in host:
        return f"[{ip_address(host).compressed}]"
    if host.rstrip(".").rpartition(".")[2].isdecimal():
        return str(ip_address(host))  # as browsers see it, what ends in a number is an address
    return idna.encode(host, uts46=True).decode() if not host.isascii() else host
