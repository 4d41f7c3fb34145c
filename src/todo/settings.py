"""The settings, read in one place: the environment, and for what it lacks a `.env` file."""

import difflib
import os
import re
from collections.abc import Collection, Mapping
from io import StringIO
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import idna
import msgspec
from dotenv.parser import parse_stream
from platformdirs import user_data_path

SECRET_LENGTH = 32
"""The fewest bytes of a shared secret (RFC 7518, section 3.2: no shorter than the hash)."""

# As browsers write it (RFC 6454, section 6.1), for it is compared letter by letter.
_ORIGIN = r"https?://([a-z0-9._-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?"


class InvalidSetting(Exception):
    """A setting is wrong; the text is one line that names it and never shows a secret."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Each field is the setting of that name in capitals. A setting that is empty counts as not set."""

    database_url: str | None = None
    database_pool_size: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 16
    database_pool_rest: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 300
    """Seconds that a connection is kept unused; with 0 none is kept."""
    database_timeout: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 1.5
    """Seconds that PostgreSQL gets for each thing it is asked."""
    database_prepared_statements: bool | None = None
    """None leaves it to the host's name: a pooler of Neon's has none."""
    requests_at_once: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 256
    """Of one process; more are refused."""
    request_log: bool = True
    log_hash_key: str | None = None
    """What people's ids are hashed with in the log; without it each process takes a key of its own."""
    metrics: bool = False
    traces: bool = False
    better_auth_url: str | None = None
    better_auth_secret: str | None = None
    jwt_jwks_url: str | None = None
    jwt_issuer: tuple[str, ...] = ()
    jwt_audience: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    todo_user: str | None = None
    todo_server: str | None = None
    todo_token: str | None = None

    def __post_init__(self) -> None:
        if self.database_url is not None:
            _check_database(self.database_url)
        if self.better_auth_secret is not None and len(self.better_auth_secret.encode()) < SECRET_LENGTH:
            raise InvalidSetting(f"BETTER_AUTH_SECRET is shorter than {SECRET_LENGTH} bytes")
        for name in ("better_auth_url", "jwt_jwks_url", "todo_server"):
            value = getattr(self, name)
            if value is not None and not _is_http_url(value):
                raise InvalidSetting(f"{name.upper()} is not an http or https URL, or has a name or password in it")
        for name in ("better_auth_url", "todo_server"):
            if not {"?", "#"}.isdisjoint(getattr(self, name) or ""):
                raise InvalidSetting(f"{name.upper()} has a query or a fragment in it")
        if self.todo_token is not None and not re.fullmatch("[!-~]+", self.todo_token):
            raise InvalidSetting("TODO_TOKEN has a character in it that no token has")
        for place, origin in enumerate(self.cors_origins, 1):
            if not (re.fullmatch(_ORIGIN, origin) or self.cors_origins == ("*",)):
                raise InvalidSetting(f"CORS_ORIGINS: number {place} is not an origin, such as https://app.example.com")

    def __repr__(self) -> str:
        return "Settings(…)"  # secrets stay out of tracebacks

    @property
    def database_file(self) -> Path | None:
        """The SQLite file; None if the database is PostgreSQL."""
        if self.database_url is None:
            return data_directory() / "todo.db"
        if self.database_url.startswith("sqlite:"):
            return Path(self.database_url.removeprefix("sqlite:///"))
        return None

    @property
    def key_set_url(self) -> str | None:
        """Where the issuer publishes its keys; None if tokens are signed with a secret.

        As Better Auth does, takes a URL with a path for one that has its API there, not at /api/auth.
        """
        if self.jwt_jwks_url is not None or self.better_auth_url is None:
            return self.jwt_jwks_url
        path = urlsplit(self.better_auth_url).path.rstrip("/")
        return f"{_origin_of(self.better_auth_url)}{path or '/api/auth'}/jwks"

    @property
    def issuers(self) -> tuple[str, ...]:
        """The iss that are taken; any if there are none."""
        return self.jwt_issuer or self._origin

    @property
    def audiences(self) -> tuple[str, ...]:
        """The aud that are taken; any if there are none."""
        return self.jwt_audience or self._origin

    @property
    def _origin(self) -> tuple[str, ...]:
        return () if self.better_auth_url is None else (_origin_of(self.better_auth_url),)

    @property
    def uses_kept_secret(self) -> bool:
        """Whether tokens are judged with this machine's own secret, since no key set and no other secret is named."""
        return not any((self.better_auth_url, self.jwt_jwks_url, self.better_auth_secret))


def data_directory() -> Path:
    """Where the default database and the kept secret are."""
    return user_data_path("todo", appauthor=False)


def load(environ: Mapping[str, str], dotenv: Path = Path(".env")) -> Settings:
    """Raises InvalidSetting."""
    names = {field.upper(): field for field in Settings.__struct_fields__}
    found = _read(dotenv, names)
    values: dict[str, Any] = {}
    for name, field in names.items():
        value = next((text for text in (environ.get(name, "").strip(), found.get(name, "").strip()) if text), None)
        if value is None:
            continue
        if not value.isprintable():
            raise InvalidSetting(f"{name} has a character in it that is no text")
        is_list = Settings.__annotations__[field] == tuple[str, ...]
        values[field] = _parts_of(name, value) if is_list else value
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        why, _, field = str(error).partition(" - at `$.")
        raise InvalidSetting(f"{field.rstrip('`').upper()}: {why[0].lower()}{why[1:]}") from None


def _parts_of(name: str, value: str) -> list[str]:
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not parts or re.search("[\"'; ]", "".join(parts)):
        raise InvalidSetting(f"{name} must be a list with commas between its parts, without quotes and blanks")
    return parts


def _read(dotenv: Path, names: Collection[str]) -> dict[str, str]:
    """Without interpolation: a password with a dollar sign in it means that dollar sign."""
    if not os.path.lexists(dotenv):
        return {}
    if not dotenv.is_file():
        raise InvalidSetting(f"{dotenv} is no file")
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
                # Never what is there: it may be a value that slipped onto a line of its own.
                close = difflib.get_close_matches(binding.key.upper(), names, n=1)
                meant = f"; is {close[0]} meant?" if close else ""
                raise InvalidSetting(f"{dotenv}, line {binding.original.line}: no setting is called that{meant}")
            values[binding.key] = binding.value or ""
    return values


def _check_database(url: str) -> None:
    scheme, _, rest = url.partition(":")
    if scheme in ("postgres", "postgresql"):
        if re.split("[/?]", rest.removeprefix("//"), maxsplit=1)[0].count("@") > 1:
            raise InvalidSetting("DATABASE_URL: write a @ in its name or password as %40")
        return
    if scheme != "sqlite":
        raise InvalidSetting("DATABASE_URL must begin with sqlite:///, postgresql:// or postgres://")
    if not re.fullmatch("///[^?#]+", rest) or rest == "///:memory:":
        raise InvalidSetting("DATABASE_URL must name a file: sqlite:///relative/path or sqlite:////absolute/path")


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_http = parts.scheme in ("http", "https") and "@" not in parts.netloc and parts.port != 0
        return is_http and re.fullmatch(_ORIGIN, _origin_of(url)) is not None
    except ValueError:
        return False


def _origin_of(url: str) -> str:
    """As browsers and Node write it (RFC 6454, section 6.2). Raises ValueError."""
    parts = urlsplit(url)
    port = "" if parts.port in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{_host_of(parts.hostname or '')}{port}"


def _host_of(host: str) -> str:
    if ":" in host:
        return f"[{ip_address(host).compressed}]"
    if host.rstrip(".").rpartition(".")[2].isdecimal():
        return str(ip_address(host))  # as browsers have it, what ends in a number is an address
    return idna.encode(host, uts46=True).decode() if not host.isascii() else host
