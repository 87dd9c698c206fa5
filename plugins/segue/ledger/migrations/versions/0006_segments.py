"""which segment a span is of, and indexes for what the pages ask of segments"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('spans', sa.Column('segment', sa.String(length=64), nullable=False, server_default=''))
    connection = op.get_bind()
    fill = sa.text('UPDATE spans SET segment = :segment WHERE definition = :hash')
    for row in connection.execute(sa.text('SELECT hash, body FROM definitions')).all():
        connection.execute(fill, {'segment': json.loads(row.body)['segment']['segment'], 'hash': row.hash})
    op.create_index(op.f('ix_spans_namespace_segment_workflow_current_as_of'), 'spans', ['namespace', 'segment', 'workflow', 'current_as_of'])
    op.create_index(op.f('ix_changes_span_change'), 'changes', ['span', 'change'])
