"""deliveries that were called once more in doubt"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('deliveries', sa.Column('resent', sa.Integer(), nullable=False, server_default='0'))
    op.execute("UPDATE deliveries SET resent = 1 WHERE reason LIKE 'sent again%'")
