"""How the service listens: uvicorn, with an HTTP/1.1 protocol that bounds what clients can do to it."""
