"""The pure core: no framework, no clock, no randomness, no I/O."""
