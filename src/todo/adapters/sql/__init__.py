"""The TaskStore in a database: SQLite or PostgreSQL, on SQLAlchemy Core."""
