"""the project of each workflow; a quarantine names a directory with its project"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    project = sa.Column('project', sa.String(length=32), nullable=False, server_default='')
    op.add_column('workflows', project)
    with op.batch_alter_table('quarantines') as table:
        table.alter_column(
            'directory', existing_type=sa.String(length=64), type_=sa.String(length=128),
            existing_nullable=False,
        )
