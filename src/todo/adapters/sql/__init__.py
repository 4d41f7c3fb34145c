"""The TaskStore in a database. What only PostgreSQL or only SQLite needs is in the folder of that name."""
