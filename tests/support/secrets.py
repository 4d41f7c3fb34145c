"""What no server may print: kept here as the tests make it, and looked for in all that each server printed."""

_secrets: set[str] = set()


def keep_secret(text: str) -> str:
    """A token is kept with each of its parts."""
    _secrets.update(part for part in (text, *text.split(".")) if len(part) >= 12)
    return text


def found_in(printed: str) -> set[str]:
    return {secret for secret in _secrets if secret in printed}
