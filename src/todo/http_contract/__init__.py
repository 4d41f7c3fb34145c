"""The forms of the HTTP contract, for both of its ends: the server, and the store that calls one."""
