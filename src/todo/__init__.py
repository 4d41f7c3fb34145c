"""Tasks that belong to people: a domain, its adapters, and the entrypoints that drive it."""
