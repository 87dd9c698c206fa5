"""what became of a delivery after its run: whom it was told, who asked for it; pauses of vendors"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    serial = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
    for name, kind in (('barred', sa.Integer()), ('untold', sa.Integer()), ('request', serial)):
        op.add_column('deliveries', sa.Column(name, kind))
    for name in ('untold', 'request'):
        some = sa.text(f'{name} IS NOT NULL')
        op.create_index(op.f(f'ix_deliveries_{name}'), 'deliveries', [name], sqlite_where=some, postgresql_where=some)
    op.add_column('rates', sa.Column('asked_until', sa.DateTime()))
