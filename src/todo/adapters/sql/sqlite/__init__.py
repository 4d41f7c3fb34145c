"""SQLite, by the sqlite3 module."""
