"""The search for secrets finds them."""

from tests.support.secrets import found_in, keep_secret


def test_a_token_is_found_whole_and_in_parts() -> None:
    token = keep_secret("a-header-of-a-token.the-claims-of-a-token.the-signature-of-it")
    for part in (token, *token.split(".")):
        assert part in found_in(f"INFO got {part}!")
    assert found_in("nothing of the kind") == set()
