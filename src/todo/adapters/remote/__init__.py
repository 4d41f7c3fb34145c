"""The TaskStore on another machine: a client of the HTTP contract."""
