"""The TaskStore in a database. What only PostgreSQL or only SQLite needs stands in the folder of that name."""
