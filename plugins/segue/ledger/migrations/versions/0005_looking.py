"""indexes for what the pages in Airflow's UI count"""

from __future__ import annotations

from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index(op.f('ix_deliveries_namespace_workflow_state'), 'deliveries')
    op.create_index(op.f('ix_deliveries_namespace_workflow_state_updated_at'), 'deliveries', ['namespace', 'workflow', 'state', 'updated_at'])
    op.create_index(op.f('ix_deliveries_span_state_contact_id_change'), 'deliveries', ['span', 'state', 'contact_id', 'change'])
    op.create_index(op.f('ix_deliveries_namespace_workflow_event_at_state'), 'deliveries', ['namespace', 'workflow', 'event_at', 'state'])
