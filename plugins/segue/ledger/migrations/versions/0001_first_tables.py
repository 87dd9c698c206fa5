"""the ledger's first tables"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('definitions',
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('workflow', sa.String(length=64), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('recorded_at', sa.DateTime(), nullable=False),
    sa.PrimaryKeyConstraint('hash', name=op.f('pk_definitions'))
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
    op.create_table('rates',
    sa.Column('scope', sa.String(length=250), nullable=False),
    sa.Column('next_at', sa.DateTime(), nullable=False),
    sa.Column('asked_until', sa.DateTime(), nullable=True),
    sa.PrimaryKeyConstraint('scope', name=op.f('pk_rates'))
    )
    op.create_table('requests',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('namespace', sa.String(length=64), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('requested_by', sa.String(length=250), nullable=False),
    sa.Column('requested_at', sa.DateTime(), nullable=False),
    sa.Column('done_at', sa.DateTime(), nullable=True),
    sa.Column('outcome', sa.Text(), server_default='', nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_requests'))
    )
    op.create_index(op.f('ix_requests_namespace_done_at'), 'requests', ['namespace', 'done_at'], unique=False)
    op.create_table('runs',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('namespace', sa.String(length=64), nullable=False),
    sa.Column('workflow', sa.String(length=64), nullable=False),
    sa.Column('run_id', sa.String(length=250), nullable=False),
    sa.Column('outcome', sa.String(length=16), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('recorded_only', sa.Integer(), nullable=False),
    sa.Column('interval_start', sa.DateTime(), nullable=True),
    sa.Column('interval_end', sa.DateTime(), nullable=True),
    sa.Column('recorded_at', sa.DateTime(), nullable=False),
    sa.Column('decision', sa.String(length=16), nullable=True),
    sa.Column('decided_by', sa.String(length=250), nullable=True),
    sa.Column('decided_at', sa.DateTime(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_runs')),
    sa.UniqueConstraint('namespace', 'workflow', 'run_id', name=op.f('uq_runs_namespace_workflow_run_id'))
    )
    op.create_table('stops',
    sa.Column('namespace', sa.String(length=64), nullable=False),
    sa.Column('workflow', sa.String(length=64), nullable=False),
    sa.Column('reason', sa.Text(), server_default='', nullable=False),
    sa.Column('stopped_by', sa.String(length=250), nullable=False),
    sa.Column('stopped_at', sa.DateTime(), nullable=False),
    sa.PrimaryKeyConstraint('namespace', 'workflow', name=op.f('pk_stops'))
    )
    op.create_table('suppressions',
    sa.Column('namespace', sa.String(length=64), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('contact_id', sa.String().with_variant(sa.Text(collation='C'), 'postgresql'), nullable=True),
    sa.Column('reason', sa.Text(), server_default='', nullable=False),
    sa.Column('added_by', sa.String(length=250), nullable=False),
    sa.Column('added_at', sa.DateTime(), nullable=False),
    sa.PrimaryKeyConstraint('namespace', 'digest', name=op.f('pk_suppressions'))
    )
    op.create_table('workflows',
    sa.Column('namespace', sa.String(length=64), nullable=False),
    sa.Column('workflow', sa.String(length=64), nullable=False),
    sa.Column('watermark', sa.DateTime(), nullable=True),
    sa.PrimaryKeyConstraint('namespace', 'workflow', name=op.f('pk_workflows'))
    )
    op.create_table('spans',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('run', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('namespace', sa.String(length=64), nullable=False),
    sa.Column('workflow', sa.String(length=64), nullable=False),
    sa.Column('segment', sa.String(length=64), server_default='', nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('previous_key', sa.String(length=32), nullable=True),
    sa.Column('current_key', sa.String(length=32), nullable=False),
    sa.Column('previous_as_of', sa.DateTime(), nullable=False),
    sa.Column('current_as_of', sa.DateTime(), nullable=False),
    sa.Column('previous_fingerprint', sa.String(length=64), nullable=True),
    sa.Column('current_fingerprint', sa.String(length=64), nullable=False),
    sa.Column('previous_size', sa.BigInteger(), nullable=True),
    sa.Column('current_size', sa.BigInteger(), nullable=False),
    sa.Column('definition', sa.String(length=64), nullable=False),
    sa.Column('recorded_at', sa.DateTime(), nullable=False),
    sa.ForeignKeyConstraint(['definition'], ['definitions.hash'], name=op.f('fk_spans_definition')),
    sa.ForeignKeyConstraint(['run'], ['runs.id'], name=op.f('fk_spans_run')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_spans'))
    )
    op.create_index(op.f('ix_spans_namespace_segment_workflow_current_as_of'), 'spans', ['namespace', 'segment', 'workflow', 'current_as_of'], unique=False)
    op.create_index(op.f('ix_spans_namespace_workflow_current_as_of'), 'spans', ['namespace', 'workflow', 'current_as_of'], unique=False)
    op.create_index(op.f('ix_spans_run'), 'spans', ['run'], unique=False)
    op.create_table('changes',
    sa.Column('span', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('contact_id', sa.String().with_variant(sa.Text(collation='C'), 'postgresql'), nullable=False),
    sa.Column('change', sa.String(length=16), nullable=False),
    sa.Column('reason', sa.String(length=32), nullable=False),
    sa.ForeignKeyConstraint(['span'], ['spans.id'], name=op.f('fk_changes_span')),
    sa.PrimaryKeyConstraint('span', 'contact_id', 'change', name=op.f('pk_changes'))
    )
    op.create_index(op.f('ix_changes_contact_id'), 'changes', ['contact_id'], unique=False)
    op.create_index(op.f('ix_changes_span_change'), 'changes', ['span', 'change'], unique=False)
    op.create_table('deliveries',
    sa.Column('key', sa.String(length=64), nullable=False),
    sa.Column('namespace', sa.String(length=64), nullable=False),
    sa.Column('workflow', sa.String(length=64), nullable=False),
    sa.Column('action', sa.String(length=64), nullable=False),
    sa.Column('contact_id', sa.String().with_variant(sa.Text(collation='C'), 'postgresql'), nullable=False),
    sa.Column('change', sa.String(length=16), nullable=False),
    sa.Column('snapshot', sa.String(length=32), nullable=False),
    sa.Column('span', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('channel', sa.String(length=64), server_default='', nullable=False),
    sa.Column('addressed_to', sa.String(length=16), server_default='', nullable=False),
    sa.Column('event_at', sa.DateTime(), nullable=True),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('external_id', sa.Text(), nullable=True),
    sa.Column('url', sa.Text(), nullable=True),
    sa.Column('results', sa.Text(), nullable=True),
    sa.Column('digest', sa.String(length=64), nullable=True),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('resent', sa.Integer(), server_default='0', nullable=False),
    sa.Column('message_key', sa.String(length=64), nullable=True),
    sa.Column('owner', sa.String(length=250), nullable=True),
    sa.Column('lease_until', sa.DateTime(), nullable=True),
    sa.Column('held_until', sa.DateTime(), nullable=True),
    sa.Column('held_since', sa.DateTime(), nullable=True),
    sa.Column('failed_at_clear', sa.Integer(), nullable=True),
    sa.Column('trace', sa.Text(), nullable=True),
    sa.Column('barred', sa.Integer(), nullable=True),
    sa.Column('untold', sa.Integer(), nullable=True),
    sa.Column('waits_for', sa.String(length=64), nullable=True),
    sa.Column('request', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=True),
    sa.Column('planned_at', sa.DateTime(), nullable=False),
    sa.Column('called_at', sa.DateTime(), nullable=True),
    sa.Column('delivered_at', sa.DateTime(), nullable=True),
    sa.Column('updated_at', sa.DateTime(), nullable=False),
    sa.ForeignKeyConstraint(['span'], ['spans.id'], name=op.f('fk_deliveries_span')),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_deliveries'))
    )
    op.create_index(op.f('ix_deliveries_contact_id'), 'deliveries', ['contact_id'], unique=False)
    op.create_index(op.f('ix_deliveries_namespace_workflow_event_at_state'), 'deliveries', ['namespace', 'workflow', 'event_at', 'state'], unique=False)
    op.create_index(op.f('ix_deliveries_namespace_workflow_state_updated_at'), 'deliveries', ['namespace', 'workflow', 'state', 'updated_at'], unique=False)
    op.create_index(op.f('ix_deliveries_request'), 'deliveries', ['request'], unique=False, sqlite_where=sa.text('request IS NOT NULL'), postgresql_where=sa.text('request IS NOT NULL'))
    op.create_index(op.f('ix_deliveries_span_action_state'), 'deliveries', ['span', 'action', 'state'], unique=False)
    op.create_index(op.f('ix_deliveries_span_state_contact_id_change'), 'deliveries', ['span', 'state', 'contact_id', 'change'], unique=False)
    op.create_index(op.f('ix_deliveries_state_lease_until'), 'deliveries', ['state', 'lease_until'], unique=False)
    op.create_index(op.f('ix_deliveries_untold'), 'deliveries', ['untold'], unique=False, sqlite_where=sa.text('untold IS NOT NULL'), postgresql_where=sa.text('untold IS NOT NULL'))
