"""The settings of the server and of the command line, read from the environment and then from a file."""

import difflib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from io import StringIO
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import idna
import msgspec
from dotenv.parser import Binding, parse_stream
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
    database_read_url: str | None = None  # of a standby of that database, which answers reads
    database_partitions: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    """Of each table, when the schema is made; with 0 the tables are not partitioned."""
    database_pool_size: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 16
    database_pool_idle_timeout: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 300
    """Seconds after which an unused connection is closed; with 0 none is kept."""
    database_timeout: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 1.5
    """Seconds that PostgreSQL gets for each statement."""
    database_prepared_statements: bool | None = None  # None: by host name; Neon's poolers support none
    max_concurrent_requests: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 256
    """Of one process; more are refused."""
    max_event_streams: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000
    """Of one process; more are refused."""
    keep_alive_timeout: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 75
    """Seconds for which an idle connection of a client is kept."""
    trash_days: Annotated[int, msgspec.Meta(ge=0, le=3650)] = 30
    """For which what was removed can be restored; with 0 it can't."""
    access_log: bool = True
    log_hash_key: str | None = None  # keys the hashes of user ids in the log; without it each process makes its own
    web: bool = True
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
            _check_database_url("DATABASE_URL", self.database_url, "sqlite:///, ")
        if self.database_read_url is not None:
            _check_database_url("DATABASE_READ_URL", self.database_read_url)
        for name in ("database_partitions", "database_read_url"):
            if getattr(self, name) and self.database_file is not None:
                raise InvalidSetting(f"{name.upper()} is for PostgreSQL; the database is a SQLite file")
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
    def trash_lifetime(self) -> timedelta:
        return timedelta(days=self.trash_days)

    @property
    def key_set_url(self) -> str | None:
        """Where the issuer publishes its keys; None if tokens are signed with a shared secret."""
        return self.jwt_jwks_url or self._format_issuer_url("jwks")

    @property
    def token_url(self) -> str | None:
        """Where people who are signed in to Better Auth get their token."""
        return self._format_issuer_url("token")

    def _format_issuer_url(self, name: str) -> str | None:
        """As Better Auth does, takes a URL with a path for one that has its API there, not at /api/auth."""
        if self.better_auth_url is None:
            return None
        path = urlsplit(self.better_auth_url).path.rstrip("/")
        return f"{_parse_origin(self.better_auth_url)}{path or '/api/auth'}/{name}"

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


ENV_FILE = "TODO_ENV_FILE"  # names a file of settings

S = TypeVar("S", ServerSettings, ClientSettings)

_NAMES = tuple(name.upper() for kind in (ServerSettings, ClientSettings) for name in kind.__struct_fields__)


def get_data_directory() -> Path:
    """Where the default database and the user's state are. Raises InvalidSetting."""
    with suppress(RuntimeError):
        directory = user_data_path("todo", appauthor=False)
        if directory.is_absolute():
            return directory
    raise InvalidSetting("there is no home directory for data; set DATABASE_URL, and to serve BETTER_AUTH_SECRET")


class EnvFile(NamedTuple):
    """A file of settings. Other programs' settings in it are ignored."""

    path: Path
    is_strict: bool
    """Whether a line that can't be read, or a name that is almost one of ours, is an error, as in a server's file."""


def find_env_file(environ: Mapping[str, str], *, is_for_tasks: bool = False) -> EnvFile | None:
    """The file that TODO_ENV_FILE names; else, unless it is ``is_for_tasks``, `.env` in the current folder; else that
    in the data directory."""
    if named := environ.get(ENV_FILE, "").strip():
        if not os.path.lexists(named):
            raise InvalidSetting(f"there is no file {named}, which --env-file or {ENV_FILE} names")
        return EnvFile(Path(named), is_strict=not is_for_tasks)
    here = Path(".env")
    if not is_for_tasks and os.path.lexists(here):
        return EnvFile(here, is_strict=True)
    with suppress(InvalidSetting):
        kept = get_data_directory() / ".env"
        if os.path.lexists(kept):
            return EnvFile(kept, is_strict=not is_for_tasks)
    return None


def load_settings(kind: type[S], environ: Mapping[str, str], file: EnvFile | None) -> S:
    """Raises InvalidSetting."""
    from_file = {} if file is None else _read_env_file(*file)
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
        raise InvalidSetting(_explain(str(error))) from None


_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}
_BOUNDS = {">=": " of at least ", "<=": " of at most "}


def _explain(error: str) -> str:
    """msgspec's error as a sentence that names the setting."""
    found = re.fullmatch(r"Expected `(\w+)`(?: ([<>]=) ([0-9.]+))?.*at `\$\.(\w+)`", error)
    assert found is not None, error
    kind, comparison, bound, field = found.groups()
    limit = f"{_BOUNDS[comparison]}{float(bound):g}" if comparison else ""
    return f"{field.upper()} must be {_KINDS[kind]}{limit}"


def _split_list(name: str, value: str) -> list[str]:
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not parts or re.search("[\"'; ]", "".join(parts)):
        raise InvalidSetting(f"{name} must be a list with commas between its parts, without quotes and spaces")
    return parts


def _read_env_file(file: Path, is_strict: bool) -> dict[str, str]:
    """Without interpolation: a dollar sign in a password is a dollar sign."""
    if not file.is_file():
        raise InvalidSetting(f"{file} is not a file")
    try:
        bindings = list(parse_stream(StringIO(file.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{file} can't be read: {type(error).__name__}") from None
    values: dict[str, str] = {}
    for binding in bindings:
        if binding.key in _NAMES and binding.value is not None:
            values[binding.key] = binding.value
        elif is_strict and (problem := _find_problem(binding)) is not None:
            raise InvalidSetting(f"{file}, line {binding.original.line}: {problem}")
    return values


def _find_problem(binding: Binding) -> str | None:
    """What is wrong with a line that is none of our settings. The name is not shown: it may be a secret that slipped
    onto a line of its own."""
    if binding.key is None and not binding.error:
        return None  # blank, or a comment
    if binding.key is None or binding.value is None or not re.fullmatch("[A-Za-z0-9_.-]+", binding.key):
        return "this is not NAME=value"
    close = difflib.get_close_matches(binding.key.upper(), _NAMES, n=1, cutoff=0.85)
    return f"unknown setting; did you mean {close[0]}?" if close else None


def _check_database_url(name: str, url: str, others: str = "") -> None:
    """``others``: how it may begin besides."""
    scheme, _, rest = url.partition(":")
    if scheme in ("postgres", "postgresql"):
        if re.split("[/?]", rest.removeprefix("//"), maxsplit=1)[0].count("@") > 1:
            raise InvalidSetting(f"{name}: write an @ in its user name or password as %40")
        return
    if scheme != "sqlite" or not others:
        raise InvalidSetting(f"{name} must begin with {others}postgresql:// or postgres://")
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
