"""under which number a row was last written, for exports of what has changed"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ('runs', 'spans', 'changes', 'deliveries'):
        column = sa.Column('changed_in', sa.BigInteger(), server_default='0', nullable=False)
        op.add_column(table, column)
    op.create_table(
        'feed_clock',
        sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('ledger', sa.String(length=32), nullable=False),
        sa.Column('era', sa.Integer(), nullable=False),
        sa.Column('number', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_feed_clock')),
    )
    op.create_table(
        'feeds',
        sa.Column('namespace', sa.String(length=64), nullable=False),
        sa.Column('destination', sa.String(length=64), nullable=False),
        sa.Column('token', sa.String(length=32), nullable=False),
        sa.Column('previous_token', sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint('namespace', 'destination', name=op.f('pk_feeds')),
    )
