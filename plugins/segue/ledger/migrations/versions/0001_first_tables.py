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
    sa.PrimaryKeyConstraint('id', name=op.f('pk_runs')),
    sa.UniqueConstraint('namespace', 'workflow', 'run_id', name=op.f('uq_runs_namespace_workflow_run_id'))
    )
    op.create_table('workflows',
    sa.Column('namespace', sa.String(length=64), nullable=False),
    sa.Column('workflow', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('namespace', 'workflow', name=op.f('pk_workflows'))
    )
    op.create_table('spans',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('run', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('namespace', sa.String(length=64), nullable=False),
    sa.Column('workflow', sa.String(length=64), nullable=False),
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
    with op.batch_alter_table('spans', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_spans_namespace_workflow_current_as_of'), ['namespace', 'workflow', 'current_as_of'], unique=False)
        batch_op.create_index(batch_op.f('ix_spans_run'), ['run'], unique=False)

    op.create_table('changes',
    sa.Column('span', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('contact_id', sa.String().with_variant(sa.Text(collation='C'), 'postgresql'), nullable=False),
    sa.Column('change', sa.String(length=16), nullable=False),
    sa.Column('reason', sa.String(length=32), nullable=False),
    sa.ForeignKeyConstraint(['span'], ['spans.id'], name=op.f('fk_changes_span')),
    sa.PrimaryKeyConstraint('span', 'contact_id', 'change', name=op.f('pk_changes'))
    )
    with op.batch_alter_table('changes', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_changes_contact_id'), ['contact_id'], unique=False)

    op.create_table('deliveries',
    sa.Column('key', sa.String(length=64), nullable=False),
    sa.Column('namespace', sa.String(length=64), nullable=False),
    sa.Column('workflow', sa.String(length=64), nullable=False),
    sa.Column('action', sa.String(length=64), nullable=False),
    sa.Column('contact_id', sa.String().with_variant(sa.Text(collation='C'), 'postgresql'), nullable=False),
    sa.Column('change', sa.String(length=16), nullable=False),
    sa.Column('snapshot', sa.String(length=32), nullable=False),
    sa.Column('span', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('external_id', sa.Text(), nullable=True),
    sa.Column('url', sa.Text(), nullable=True),
    sa.Column('results', sa.Text(), nullable=True),
    sa.Column('digest', sa.String(length=64), nullable=True),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('owner', sa.String(length=250), nullable=True),
    sa.Column('lease_until', sa.DateTime(), nullable=True),
    sa.Column('held_until', sa.DateTime(), nullable=True),
    sa.Column('failed_at_clear', sa.Integer(), nullable=True),
    sa.Column('planned_at', sa.DateTime(), nullable=False),
    sa.Column('updated_at', sa.DateTime(), nullable=False),
    sa.ForeignKeyConstraint(['span'], ['spans.id'], name=op.f('fk_deliveries_span')),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_deliveries'))
    )
    with op.batch_alter_table('deliveries', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_deliveries_contact_id'), ['contact_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_deliveries_namespace_workflow_state'), ['namespace', 'workflow', 'state'], unique=False)
        batch_op.create_index(batch_op.f('ix_deliveries_span_action_state'), ['span', 'action', 'state'], unique=False)
        batch_op.create_index(batch_op.f('ix_deliveries_state_lease_until'), ['state', 'lease_until'], unique=False)



def downgrade() -> None:
    with op.batch_alter_table('deliveries', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_deliveries_state_lease_until'))
        batch_op.drop_index(batch_op.f('ix_deliveries_span_action_state'))
        batch_op.drop_index(batch_op.f('ix_deliveries_namespace_workflow_state'))
        batch_op.drop_index(batch_op.f('ix_deliveries_contact_id'))

    op.drop_table('deliveries')
    with op.batch_alter_table('changes', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_changes_contact_id'))

    op.drop_table('changes')
    with op.batch_alter_table('spans', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_spans_run'))
        batch_op.drop_index(batch_op.f('ix_spans_namespace_workflow_current_as_of'))

    op.drop_table('spans')
    op.drop_table('workflows')
    op.drop_table('runs')
    op.drop_table('definitions')
