"""The settings, without a process."""

from pathlib import Path

import pytest

from todo.settings import ClientSettings, InvalidSetting, ServerSettings, load_settings

SECRET = "x" * 32


def load(tmp_path: Path, dotenv: str | None = None, **environ: str) -> ServerSettings:
    file = tmp_path / ".env"
    if dotenv is not None:
        file.write_text(dotenv)
    return load_settings(ServerSettings, environ, file)


def test_nothing_is_required(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings == ServerSettings()
    assert (settings.database_pool_size, settings.database_timeout, settings.max_concurrent_requests) == (16, 1.5, 256)
    assert settings.uses_own_secret
    assert settings.database_file is not None
    assert settings.database_file.name == "todo.db"
    assert load_settings(ClientSettings, {}, tmp_path / ".env") == ClientSettings()


def test_the_environment_takes_precedence_over_the_file(tmp_path: Path) -> None:
    text = "DATABASE_POOL_SIZE=3\nDATABASE_TIMEOUT=2\nTODO_USER=ann\n"
    settings = load(tmp_path, text, DATABASE_POOL_SIZE="4", DATABASE_TIMEOUT=" ")
    assert (settings.database_pool_size, settings.database_timeout) == (4, 2)
    assert load_settings(ClientSettings, {}, tmp_path / ".env").todo_user == "ann"


def test_lists_are_comma_separated(tmp_path: Path) -> None:
    settings = load(tmp_path, CORS_ORIGINS="https://a.example, http://localhost:3000", JWT_ISSUER="a,b")
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")
    apps = "tauri://localhost,capacitor://localhost,chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai"
    assert load(tmp_path, CORS_ORIGINS=apps).cors_origins == tuple(apps.split(","))
    assert settings.issuers == ("a", "b")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("DATABASE_URL", "mysql://x", "DATABASE_URL must begin with sqlite:///, postgresql:// or postgres://"),
        ("DATABASE_URL", "todo.db", "DATABASE_URL must begin with sqlite:///, postgresql:// or postgres://"),
        ("DATABASE_URL", "sqlite://", "DATABASE_URL must name a file: sqlite:///relative/path"),
        ("DATABASE_URL", "sqlite:///:memory:", "DATABASE_URL must name a file: sqlite:///relative/path"),
        ("DATABASE_URL", "postgres://a:hush@x@host/db", "DATABASE_URL: write an @ in its user name or password as %40"),
        ("DATABASE_POOL_SIZE", "0", "DATABASE_POOL_SIZE: expected `int` >= 1"),
        ("DATABASE_POOL_SIZE", "1.5", "DATABASE_POOL_SIZE: expected `int`"),
        ("DATABASE_POOL_SIZE", "many", "DATABASE_POOL_SIZE: expected `int`"),
        ("DATABASE_POOL_IDLE_TIMEOUT", "-1", "DATABASE_POOL_IDLE_TIMEOUT: expected `float` >= 0"),
        ("DATABASE_TIMEOUT", "61", "DATABASE_TIMEOUT: expected `float` <= 60"),
        ("MAX_CONCURRENT_REQUESTS", "0", "MAX_CONCURRENT_REQUESTS: expected `int` >= 1"),
        ("METRICS", "perhaps", "METRICS: expected `bool`"),
        ("BETTER_AUTH_SECRET", "hush", "BETTER_AUTH_SECRET is shorter than 32 bytes"),
        ("BETTER_AUTH_URL", "ftp://x", "BETTER_AUTH_URL is not an http or https URL"),
        ("BETTER_AUTH_URL", "x.example", "BETTER_AUTH_URL is not an http or https URL"),
        ("BETTER_AUTH_URL", "https://x example", "BETTER_AUTH_URL is not an http or https URL"),
        ("BETTER_AUTH_URL", "https://x:99999", "BETTER_AUTH_URL is not an http or https URL"),
        ("BETTER_AUTH_URL", "https://☃.example", "BETTER_AUTH_URL is not an http or https URL"),
        ("BETTER_AUTH_URL", "http://010.0.0.1", "BETTER_AUTH_URL is not an http or https URL"),
        ("BETTER_AUTH_URL", "https://a:hush@x", "BETTER_AUTH_URL is not an http or https URL"),
        ("BETTER_AUTH_URL", "https://x?y", "BETTER_AUTH_URL has a query or a fragment in it"),
        ("JWT_JWKS_URL", "ftp://x/jwks", "JWT_JWKS_URL is not an http or https URL"),
        ("JWT_JWKS_URL", "https://a:hush@x/jwks", "JWT_JWKS_URL is not an http or https URL"),
        ("CORS_ORIGINS", "a.example", "CORS_ORIGINS: number 1 is not an origin"),
        ("CORS_ORIGINS", "https://a.example/path", "CORS_ORIGINS: number 1 is not an origin"),
        ("CORS_ORIGINS", "https://a.example,*", "CORS_ORIGINS: number 2 is not an origin"),
        ("CORS_ORIGINS", '["https://a.example"]', "CORS_ORIGINS must be a list with commas"),
        ("JWT_ISSUER", '"https://a.example"', "JWT_ISSUER must be a list with commas"),
        ("JWT_AUDIENCE", ",", "JWT_AUDIENCE must be a list with commas"),
        ("JWT_AUDIENCE", "a\x00b", "JWT_AUDIENCE has an unprintable character in it"),
    ],
)
def test_a_wrong_value_is_named_in_one_line_without_a_secret(
    tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    with pytest.raises(InvalidSetting) as error:
        load(tmp_path, **{name: value})
    assert str(error.value).startswith(sentence)
    assert "hush" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("METRICS=true\nFOO=1\n", "line 2: unknown setting"),
        ("DATABSE_URL=x\n", "line 1: unknown setting; did you mean DATABASE_URL?"),
        ("metrics=true\n", "line 1: unknown setting; did you mean METRICS?"),
        ("METRICS\n", "line 1: this is not NAME=value"),
        ("BETTER_AUTH_SECRET=\nhush-hush-hush\n", "line 2: this is not NAME=value"),
        ('METRICS=1\nBETTER_AUTH_SECRET="hush\nTODO_USER=ann\n', "line 2: this is not NAME=value"),
        ("DATABASE_URL=\npostgresql://ann:hush@host/x?y=z\n", "line 2: unknown setting"),
    ],
)
def test_a_wrong_line_of_the_file_is_named_and_not_shown(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidSetting) as error:
        load(tmp_path, text)
    assert str(error.value).endswith(sentence)
    assert "hush" not in str(error.value)


def test_a_folder_called_env_is_not_ignored(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(InvalidSetting, match="is not a file"):
        load(tmp_path)


def test_a_dollar_sign_in_the_file_is_a_dollar_sign(tmp_path: Path) -> None:
    assert (
        load(tmp_path, f"BETTER_AUTH_SECRET={SECRET}$HOME${{HOME}}\n").better_auth_secret == f"{SECRET}$HOME${{HOME}}"
    )


@pytest.mark.parametrize(
    ("url", "origin", "keys"),
    [
        ("https://App.Example.com", "https://app.example.com", "https://app.example.com/api/auth/jwks"),
        ("https://app.example.com:443/", "https://app.example.com", "https://app.example.com/api/auth/jwks"),
        ("http://localhost:3000", "http://localhost:3000", "http://localhost:3000/api/auth/jwks"),
        ("https://app.example.com/login/", "https://app.example.com", "https://app.example.com/login/jwks"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]", "http://[::1]/api/auth/jwks"),
        ("http://[::1]:3000", "http://[::1]:3000", "http://[::1]:3000/api/auth/jwks"),
        ("https://straße.example", "https://xn--strae-oqa.example", "https://xn--strae-oqa.example/api/auth/jwks"),
    ],
)
def test_better_auths_url_says_issuer_audience_and_keys(tmp_path: Path, url: str, origin: str, keys: str) -> None:
    settings = load(tmp_path, BETTER_AUTH_URL=url)
    assert (settings.issuers, settings.audiences, settings.key_set_url) == ((origin,), (origin,), keys)
    assert not settings.uses_own_secret


def test_secrets_stay_out_of_tracebacks(tmp_path: Path) -> None:
    settings = load(tmp_path, BETTER_AUTH_SECRET=SECRET, DATABASE_URL="postgresql://ann:hush@host/db")
    assert repr(settings) == "ServerSettings(…)"
    assert repr(ClientSettings(todo_token="hush")) == "ClientSettings(…)"
