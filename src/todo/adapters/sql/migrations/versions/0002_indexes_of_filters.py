"""Indexes for lists that are filtered: by state everywhere, by words where PostgreSQL has the extensions."""

from contextlib import suppress

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("tasks_of_a_state_in_list_order", "tasks", ["user_id", "completed", "created_at", "id"])
    bind = op.get_bind()
    if bind.dialect.name == "postgresql":
        # The extensions may be missing, not ours to make, or out of sight in another schema.
        with suppress(sa.exc.DBAPIError), bind.begin_nested():
            bind.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            bind.execute(sa.text("CREATE EXTENSION IF NOT EXISTS btree_gin"))
            bind.execute(sa.text("CREATE INDEX tasks_words ON tasks USING gin (user_id, title_folded gin_trgm_ops)"))


def downgrade() -> None:
    op.drop_index("tasks_words", "tasks", if_exists=True)
    op.drop_index("tasks_of_a_state_in_list_order", "tasks")
