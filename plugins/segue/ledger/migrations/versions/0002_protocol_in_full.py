"""requests, stops, rates, suppressions, quarantines; what recovery and policies need"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
CONTACT_ID = sa.String().with_variant(sa.Text(collation='C'), 'postgresql')


def upgrade() -> None:
    op.add_column('workflows', sa.Column('watermark', sa.DateTime(), nullable=True))
    op.add_column('runs', sa.Column('decision', sa.String(length=16), nullable=True))
    op.add_column('runs', sa.Column('decided_by', sa.String(length=250), nullable=True))
    op.add_column('runs', sa.Column('decided_at', sa.DateTime(), nullable=True))
    op.add_column('deliveries', sa.Column('channel', sa.String(length=64), nullable=False, server_default=''))
    op.add_column('deliveries', sa.Column('addressed_to', sa.String(length=16), nullable=False, server_default=''))
    op.add_column('deliveries', sa.Column('event_at', sa.DateTime(), nullable=True))
    op.add_column('deliveries', sa.Column('held_since', sa.DateTime(), nullable=True))
    op.add_column('deliveries', sa.Column('trace', sa.Text(), nullable=True))
    op.add_column('deliveries', sa.Column('called_at', sa.DateTime(), nullable=True))
    op.add_column('deliveries', sa.Column('delivered_at', sa.DateTime(), nullable=True))
    op.execute(
        'UPDATE deliveries SET event_at = (SELECT current_as_of FROM spans WHERE spans.id = span), '
        "delivered_at = CASE WHEN state = 'delivered' THEN updated_at END, "
        "called_at = CASE WHEN attempts > 0 THEN updated_at END"
    )
    op.create_table('requests',
    sa.Column('id', SERIAL, nullable=False),
    sa.Column('namespace', sa.String(length=64), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('requested_by', sa.String(length=250), nullable=False),
    sa.Column('requested_at', sa.DateTime(), nullable=False),
    sa.Column('done_at', sa.DateTime(), nullable=True),
    sa.Column('outcome', sa.Text(), server_default='', nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_requests'))
    )
    op.create_index(op.f('ix_requests_namespace_done_at'), 'requests', ['namespace', 'done_at'])
    op.create_table('stops',
    sa.Column('namespace', sa.String(length=64), nullable=False),
    sa.Column('workflow', sa.String(length=64), nullable=False),
    sa.Column('reason', sa.Text(), server_default='', nullable=False),
    sa.Column('stopped_by', sa.String(length=250), nullable=False),
    sa.Column('stopped_at', sa.DateTime(), nullable=False),
    sa.PrimaryKeyConstraint('namespace', 'workflow', name=op.f('pk_stops'))
    )
    op.create_table('rates',
    sa.Column('scope', sa.String(length=250), nullable=False),
    sa.Column('next_at', sa.DateTime(), nullable=False),
    sa.PrimaryKeyConstraint('scope', name=op.f('pk_rates'))
    )
    op.create_table('suppressions',
    sa.Column('namespace', sa.String(length=64), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('contact_id', CONTACT_ID, nullable=True),
    sa.Column('reason', sa.Text(), server_default='', nullable=False),
    sa.Column('added_by', sa.String(length=250), nullable=False),
    sa.Column('added_at', sa.DateTime(), nullable=False),
    sa.PrimaryKeyConstraint('namespace', 'digest', name=op.f('pk_suppressions'))
    )
    op.create_table('quarantines',
    sa.Column('namespace', sa.String(length=64), nullable=False),
    sa.Column('directory', sa.String(length=64), nullable=False),
    sa.Column('key', sa.String(length=32), nullable=False),
    sa.Column('reason', sa.Text(), server_default='', nullable=False),
    sa.Column('added_by', sa.String(length=250), nullable=False),
    sa.Column('added_at', sa.DateTime(), nullable=False),
    sa.PrimaryKeyConstraint('namespace', 'directory', 'key', name=op.f('pk_quarantines'))
    )
