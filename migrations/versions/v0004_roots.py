"""An index by which the media roots are found without a look at every session.

Revision ID: v0004
Revises: v0003
"""

from alembic import op

revision = "v0004"
down_revision = "v0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("session_summaries_by_root", "session_summaries", ["root", "root_id"])


def downgrade() -> None:
    op.drop_index("session_summaries_by_root", "session_summaries")
