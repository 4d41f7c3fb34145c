"""What drives the domain. Each entrypoint translates, and calls the use cases."""
