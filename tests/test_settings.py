"""The settings, without a process."""

from pathlib import Path

import pytest

from todo.settings import ClientSettings, EnvFile, InvalidSetting, ServerSettings, find_env_file, load_settings

SECRET = "x" * 32


def load(tmp_path: Path, text: str | None = None, *, is_strict: bool = True, **environ: str) -> ServerSettings:
    file = tmp_path / ".env"
    if text is not None:
        file.write_text(text)
    return load_settings(ServerSettings, environ, EnvFile(file, is_strict) if file.exists() else None)


def test_nothing_is_required(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings == ServerSettings()
    assert (settings.database_pool_size, settings.database_timeout, settings.max_concurrent_requests) == (16, 1.5, 256)
    assert settings.uses_own_secret
    assert settings.database_file is not None
    assert settings.database_file.name == "todo.db"
    assert load_settings(ClientSettings, {}, None) == ClientSettings()


def test_the_environment_takes_precedence_over_the_file(tmp_path: Path) -> None:
    text = "DATABASE_POOL_SIZE=3\nDATABASE_TIMEOUT=2\nTODO_USER=ann\n"
    settings = load(tmp_path, text, DATABASE_POOL_SIZE="4", DATABASE_TIMEOUT=" ")
    assert (settings.database_pool_size, settings.database_timeout) == (4, 2)
    assert load_settings(ClientSettings, {}, EnvFile(tmp_path / ".env", is_strict=True)).todo_user == "ann"


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
        ("DATABASE_PARTITIONS", "4", "DATABASE_PARTITIONS is for PostgreSQL; the database is a SQLite file"),
        ("DATABASE_READ_URL", "postgres://h/d", "DATABASE_READ_URL is for PostgreSQL; the database is a SQLite file"),
        ("DATABASE_READ_URL", "sqlite:///x", "DATABASE_READ_URL must begin with postgresql:// or postgres://"),
        (
            "DATABASE_READ_URL",
            "postgres://a:b@c@d",
            "DATABASE_READ_URL: write an @ in its user name or password as %40",
        ),
        ("DATABASE_PARTITIONS", "-1", "DATABASE_PARTITIONS must be a whole number of at least 0"),
        ("DATABASE_POOL_SIZE", "0", "DATABASE_POOL_SIZE must be a whole number of at least 1"),
        ("DATABASE_POOL_SIZE", "1.5", "DATABASE_POOL_SIZE must be a whole number"),
        ("DATABASE_POOL_SIZE", "many", "DATABASE_POOL_SIZE must be a whole number"),
        ("DATABASE_POOL_IDLE_TIMEOUT", "-1", "DATABASE_POOL_IDLE_TIMEOUT must be a number of at least 0"),
        ("DATABASE_TIMEOUT", "61", "DATABASE_TIMEOUT must be a number of at most 60"),
        ("MAX_CONCURRENT_REQUESTS", "0", "MAX_CONCURRENT_REQUESTS must be a whole number of at least 1"),
        ("METRICS", "perhaps", "METRICS must be true or false"),
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
def test_a_wrong_value_is_named_in_one_line_without_a_secret(name: str, value: str, sentence: str) -> None:
    with pytest.raises(InvalidSetting) as error:
        load_settings(ServerSettings, {name: value}, None)
    assert str(error.value).startswith(sentence)
    assert "hush" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("JWT_ISUER=x\n", "line 1: unknown setting; did you mean JWT_ISSUER?"),
        ("DATABSE_URL=x\n", "line 1: unknown setting; did you mean DATABASE_URL?"),
        ("metrics=true\n", "line 1: unknown setting; did you mean METRICS?"),
        ("METRICS\n", "line 1: this is not NAME=value"),
        ("BETTER_AUTH_SECRET=\nhush-hush-hush\n", "line 2: this is not NAME=value"),
        ('METRICS=1\nBETTER_AUTH_SECRET="hush\nTODO_USER=ann\n', "line 2: this is not NAME=value"),
        ("DATABASE_URL=\npostgresql://ann:hush@host/x?y=z\n", "line 2: this is not NAME=value"),
    ],
)
def test_a_wrong_line_of_the_file_is_named_and_not_shown(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidSetting) as error:
        load(tmp_path, text)
    assert str(error.value).endswith(sentence)
    assert "hush" not in str(error.value)


SHARED = """
VITE_API=https://api.example
DATABASE_URL_UNPOOLED=x
NEXT_PUBLIC_BETTER_AUTH_URL=x
JWT_SECRET=x
# a comment
METRICS=true
"""


def test_other_programs_settings_in_a_shared_file_are_ignored(tmp_path: Path) -> None:
    assert load(tmp_path, SHARED) == ServerSettings(metrics=True)


def test_on_its_way_to_tasks_a_command_ignores_what_is_not_its_own(tmp_path: Path) -> None:
    text = "DATABSE_URL=x\nnonsense\nexport METRICS=true\n"
    assert load(tmp_path, text, is_strict=False).metrics
    with pytest.raises(InvalidSetting, match="METRICS"):
        load(tmp_path, "METRICS=perhaps\n", is_strict=False)


def test_the_file_is_the_one_named_or_in_the_current_folder_or_in_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert find_env_file({}) is None
    kept = tmp_path / "data" / "todo" / ".env"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert find_env_file({}) == EnvFile(kept, is_strict=True)
    Path(".env").touch()
    assert find_env_file({}) == EnvFile(Path(".env"), is_strict=True)
    assert find_env_file({}, is_for_tasks=True) == EnvFile(kept, is_strict=False)
    Path("other").touch()
    assert find_env_file({"TODO_ENV_FILE": "other"}, is_for_tasks=True) == EnvFile(Path("other"), is_strict=False)
    with pytest.raises(InvalidSetting, match="no file missing"):
        find_env_file({"TODO_ENV_FILE": "missing"})


def test_a_user_without_a_home_directory_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321)
    with pytest.raises(InvalidSetting, match=r"no home directory.*DATABASE_URL"):
        assert ServerSettings().database_file


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
