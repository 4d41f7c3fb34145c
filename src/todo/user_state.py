"""What this machine keeps for its user, beside the default database: a secret, and the login to a server."""

import os
import secrets
from pathlib import Path

import msgspec

from todo.settings import SECRET_LENGTH, InvalidSetting, get_data_directory


class Login(msgspec.Struct, frozen=True):
    """A server, and a token that it accepts."""

    server: str
    token: str

    def __repr__(self) -> str:
        return "Login(…)"  # the token stays out of tracebacks


def make_data_directory() -> Path:
    """Raises InvalidSetting."""
    directory = get_data_directory()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSetting(
            f"the data directory {directory} can't be made ({type(error).__name__}); set DATABASE_URL and"
            " BETTER_AUTH_SECRET to do without it"
        ) from None
    return directory


def load_or_make_secret() -> str:
    """Signs tokens where no other secret and no key set is configured. Raises InvalidSetting."""
    file = make_data_directory() / "secret"
    try:
        if not file.exists():
            _write(file, secrets.token_urlsafe(SECRET_LENGTH), replace=False)
        secret = _read(file)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"the secret in {file} can't be read or written: {type(error).__name__}") from None
    if len(secret.encode()) < SECRET_LENGTH:
        raise InvalidSetting(f"the secret in {file} is damaged; remove the file, and a new one is made")
    return secret


def has_secret() -> bool:
    return (get_data_directory() / "secret").exists()


def load_login() -> Login | None:
    """Raises InvalidSetting."""
    try:
        return msgspec.json.decode(_read(_login_file()), type=Login)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise InvalidSetting(f"the login in {_login_file()} is damaged; run `todo logout`, then log in again") from None


def save_login(login: Login) -> None:
    """Replaces any other. Raises InvalidSetting."""
    make_data_directory()
    try:
        _write(_login_file(), msgspec.json.encode(login).decode(), replace=True)
    except OSError as error:
        raise InvalidSetting(f"the login can't be saved in {_login_file()}: {type(error).__name__}") from None


def remove_login() -> bool:
    """Whether there was one."""
    try:
        _login_file().unlink()
    except FileNotFoundError:
        return False
    return True


def _login_file() -> Path:
    return get_data_directory() / "login.json"


def _read(file: Path) -> str:
    if file.stat().st_mode & 0o077 and os.name == "posix":
        raise InvalidSetting(f"other users can read {file}; run chmod 600 on it, or remove it")
    return file.read_text().strip()


def _write(file: Path, text: str, *, replace: bool) -> None:
    """Readable by its owner alone, and never half-written. Without ``replace`` a file that another process has just
    written stays."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(text)
        if replace:
            draft.replace(file)
        else:
            os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
