"""The command line entrypoint."""
