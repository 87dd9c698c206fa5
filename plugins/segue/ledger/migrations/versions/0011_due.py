"""what is due is found by when it is: a million deliveries may wait for their time"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    of_an_action = ['namespace', 'workflow', 'action', 'held_until', 'key']
    indexes = (
        ('held_until', ['held_until']), ('held_until', of_an_action), ('waits_for', ['waits_for'])
    )
    for column, columns in indexes:
        some = sa.text(f'{column} IS NOT NULL')
        op.create_index(
            f'ix_deliveries_{"_".join(columns)}', 'deliveries', columns,
            sqlite_where=some, postgresql_where=some,
        )
