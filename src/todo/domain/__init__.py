"""The core: pure rules and use cases, on the standard library alone; no clock, no randomness, no I/O."""
