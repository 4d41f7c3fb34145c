"""Indexes for lists that are filtered: by state everywhere, by words where PostgreSQL has the extensions."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("tasks_of_a_state_in_list_order", "tasks", ["user_id", "completed", "created_at", "id"])
    if op.get_bind().dialect.name == "postgresql" and all(_could_make(name) for name in ("pg_trgm", "btree_gin")):
        op.create_index(
            "tasks_words",
            "tasks",
            ["user_id", "title_folded"],
            postgresql_using="gin",
            postgresql_ops={"title_folded": "gin_trgm_ops"},
        )


def downgrade() -> None:
    op.drop_index("tasks_words", "tasks", if_exists=True)
    op.drop_index("tasks_of_a_state_in_list_order", "tasks")


def _could_make(extension: str) -> bool:
    """It may be missing, or not for us to make."""
    bind = op.get_bind()
    try:
        with bind.begin_nested():
            bind.execute(sa.text(f"CREATE EXTENSION IF NOT EXISTS {extension}"))
    except sa.exc.DBAPIError:
        return False
    return True
