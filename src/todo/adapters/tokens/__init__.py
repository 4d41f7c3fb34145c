"""Verifies bearer tokens: JSON Web Tokens (RFC 7519), signed with an issuer's keys or with a shared secret."""
