"""What this machine keeps for its user, beside the default database: a secret, and where they logged in."""

import os
import secrets
from pathlib import Path

import msgspec

from todo.settings import SECRET_LENGTH, InvalidSetting, data_directory


class Login(msgspec.Struct, frozen=True):
    """A server, and a token that it takes."""

    server: str
    token: str

    def __repr__(self) -> str:
        return "Login(…)"  # the token stays out of tracebacks


def make_data_directory() -> Path:
    """Raises InvalidSetting."""
    try:
        data_directory().mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSetting(
            f"{data_directory()}, for what DATABASE_URL or BETTER_AUTH_SECRET would say, can't be made:"
            f" {type(error).__name__}"
        ) from None
    return data_directory()


def kept_secret() -> str:
    """This machine's own, made on first use. Raises InvalidSetting."""
    file = make_data_directory() / "secret"
    try:
        if not file.exists():
            _write(file, secrets.token_urlsafe(SECRET_LENGTH), replace=False)
        secret = _read(file)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"the kept secret {file} can't be read or written: {type(error).__name__}") from None
    if len(secret.encode()) < SECRET_LENGTH:
        raise InvalidSetting(f"the kept secret {file} is damaged; remove it, and a new one is made")
    return secret


def has_kept_secret() -> bool:
    return (data_directory() / "secret").exists()


def kept_login() -> Login | None:
    """Raises InvalidSetting."""
    try:
        return msgspec.json.decode(_read(_login()), type=Login)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise InvalidSetting(f"the kept login {_login()} is damaged; run `todo logout`, then log in again") from None


def keep_login(login: Login) -> None:
    """In place of any other. Raises InvalidSetting."""
    make_data_directory()
    try:
        _write(_login(), msgspec.json.encode(login).decode(), replace=True)
    except OSError as error:
        raise InvalidSetting(f"the login can't be kept in {_login()}: {type(error).__name__}") from None


def forget_login() -> bool:
    """Whether there was one."""
    try:
        _login().unlink()
    except FileNotFoundError:
        return False
    return True


def _login() -> Path:
    return data_directory() / "login.json"


def _read(file: Path) -> str:
    if file.stat().st_mode & 0o077 and os.name == "posix":
        raise InvalidSetting(f"{file} can be read by others; run chmod 600 on it, or remove it")
    return file.read_text().strip()


def _write(file: Path, text: str, *, replace: bool) -> None:
    """Readable by its owner alone, whole from the start. Unless it replaces, another process that was faster wins."""
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
