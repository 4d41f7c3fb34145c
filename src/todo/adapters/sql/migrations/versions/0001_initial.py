"""People, their tasks, what they have removed, and the idempotency keys of their creations."""

from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    partitions = op.get_bind().get_execution_options().get("partitions", 0)

    def create_table(name: str, *parts: sa.schema.SchemaItem, user_id: str = "user_id", **options: Any) -> None:
        partition_by = f"HASH ({user_id})" if partitions else None
        op.create_table(name, *parts, **options, postgresql_partition_by=partition_by)
        for number in range(partitions):
            values = f"WITH (MODULUS {partitions}, REMAINDER {number})"
            op.execute(f"CREATE TABLE {name}_{number} PARTITION OF {name} FOR VALUES {values}")

    create_table(
        "users",
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("epoch", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("forgotten", sa.BigInteger(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name="users_pkey"),
        user_id="id",
        sqlite_with_rowid=False,
    )
    create_table(
        "tasks",
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("notes", sa.Text()),
        sa.Column("due", sa.Text()),
        sa.Column("priority", sa.Text()),
        sa.Column("labels", sa.ARRAY(sa.Text()).with_variant(sa.Text(), "sqlite"), nullable=False),
        sa.Column("completed", sa.Boolean(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column(
            "due_order",
            sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
            nullable=False,
            server_default="~",
        ),
        sa.Column("labels_folded", sa.Text()),
        sa.PrimaryKeyConstraint("user_id", "id", name="tasks_pkey"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="tasks_user_id_fkey", ondelete="CASCADE"),
        sa.CheckConstraint("length(title) BETWEEN 1 AND 500", name=op.f("tasks_title_length_check")),
    )
    op.create_index("tasks_by_id", "tasks", ["id"])
    op.create_index("tasks_in_list_order", "tasks", ["user_id", "created_at", "id"])
    op.create_index("tasks_by_state_in_list_order", "tasks", ["user_id", "completed", "created_at", "id"])
    op.create_index("tasks_by_revision", "tasks", ["user_id", "revision"])
    by_due: list[str | sa.TextClause] = ["user_id", "due_order", sa.text("created_at DESC"), sa.text("id DESC")]
    for name, columns, condition in (
        ("tasks_by_due", by_due, sa.text("due IS NOT NULL")),
        ("tasks_by_priority", ["user_id", "priority", "created_at", "id"], sa.text("priority IS NOT NULL")),
        ("tasks_with_labels", ["user_id", "created_at", "id"], sa.text("labels_folded IS NOT NULL")),
    ):
        op.create_index(name, "tasks", columns, postgresql_where=condition, sqlite_where=condition)
    create_table(
        "removed_tasks",
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("content", sa.Text()),
        sa.PrimaryKeyConstraint("user_id", "id", name="removed_tasks_pkey"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="removed_tasks_user_id_fkey", ondelete="CASCADE"),
    )
    op.create_index("removed_tasks_by_id", "removed_tasks", ["id"])
    op.create_index("removed_tasks_by_revision", "removed_tasks", ["user_id", "revision"])
    op.create_index("removed_tasks_by_time", "removed_tasks", ["user_id", "removed_at"])
    create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("request_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text()),
        sa.PrimaryKeyConstraint("user_id", "key", name="idempotency_keys_pkey"),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name="idempotency_keys_user_id_fkey",
            ondelete="CASCADE",
            deferrable=True,
            initially="DEFERRED",
        ),
        sqlite_with_rowid=False,
    )
    bind = op.get_bind()
    if partitions:
        # Else PostgreSQL plans each prepared statement anew: it takes a plan that leaves the person open to read every
        # partition. Of this role alone, and by the server, so that it works behind a transaction pooler, too.
        name = bind.execute(sa.text("SELECT current_database()")).scalar_one()
        database = bind.dialect.identifier_preparer.quote(name)
        op.execute(f"ALTER ROLE CURRENT_USER IN DATABASE {database} SET plan_cache_mode = force_generic_plan")
    if bind.dialect.name == "postgresql":
        # For searches. The extensions may be missing, not ours to create, or out of sight in another schema.
        with suppress(sa.exc.DBAPIError), bind.begin_nested():
            bind.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            bind.execute(sa.text("CREATE EXTENSION IF NOT EXISTS btree_gin"))
            bind.execute(sa.text("CREATE INDEX tasks_by_words ON tasks USING gin (user_id, search_text gin_trgm_ops)"))


def downgrade() -> None:
    op.drop_table("idempotency_keys")
    op.drop_table("removed_tasks")
    op.drop_table("tasks")
    op.drop_table("users")
