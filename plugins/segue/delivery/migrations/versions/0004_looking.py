"""an index for what the pages in Airflow's UI count"""

from __future__ import annotations

from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f('ix_deliveries_namespace_workflow_event_at_state'), 'deliveries', ['namespace', 'workflow', 'event_at', 'state'])
