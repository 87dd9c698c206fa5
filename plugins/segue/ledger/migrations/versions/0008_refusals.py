"""when a delivery was refused, while whose fault that is stays open"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0001'
branch_labels = None
depends_on = None

_SAID = 'refused (whose fault is open): '  # began the reason of what was refused


def upgrade() -> None:
    op.add_column('deliveries', sa.Column('refused_at', sa.DateTime(), nullable=True))
    deliveries = sa.table(
        'deliveries',
        sa.column('reason', sa.Text()),
        sa.column('refused_at', sa.DateTime()),
        sa.column('updated_at', sa.DateTime()),
    )
    was_refused = sa.func.substr(deliveries.c.reason, 1, len(_SAID)) == _SAID
    op.execute(deliveries.update().where(was_refused).values(refused_at=deliveries.c.updated_at))
