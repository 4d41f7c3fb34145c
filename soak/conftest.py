from tests.conftest import empty_database, empty_postgres, postgres

__all__ = ["empty_database", "empty_postgres", "postgres"]
