"""Keys, projects and the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "post_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first tables."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "keys",
        sa.Column("number", number, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("last_used_at", sa.Text),
        sa.Column("row", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("number", name="keys_pkey"),
        sa.UniqueConstraint("id", name="keys_id_key"),
    )
    op.create_index("keys_project", "keys", ["project", "number"])
    op.create_table(
        "projects",
        sa.Column("number", number, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("row", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("number", name="projects_pkey"),
        sa.UniqueConstraint("id", name="projects_id_key"),
        sa.UniqueConstraint("name", name="projects_name_key"),
    )
    op.create_table(
        "audit_log",
        sa.Column("sequence", number, nullable=False, autoincrement=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("previous_hash", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="audit_log_pkey"),
    )
