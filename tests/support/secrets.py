"""Secrets of the tests. Each is registered here when it is made, and whatever a server printed is searched for them."""

_secrets: set[str] = set()


def keep_secret(text: str) -> str:
    """Registers a secret and, of a token, each part."""
    _secrets.update(part for part in (text, *text.split(".")) if len(part) >= 12)
    return text


def found_in(printed: str) -> set[str]:
    return {secret for secret in _secrets if secret in printed}
