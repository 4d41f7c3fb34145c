"""Tokens: JWTs (RFC 7519) that say who asks."""
