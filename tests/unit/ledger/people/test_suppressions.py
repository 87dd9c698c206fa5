"""The suppression list: who is never written to; on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from segue.errors import SettingsError
from segue.ledger import Ledger
from segue.ledger.schema import suppressions
from tests.unit.builders import NOW, added, detected, record, run, stretch


def with_secret(ledger: Ledger, secret: str | None) -> Ledger:
    return Ledger(ledger.engine, ledger.namespace, secret)


def test_who_is_on_the_list_is_found_in_a_batch(ledger):
    """Ids are compared as they stand: no trimming, no case."""
    assert ledger.people.suppress(["b", "007", "b"], "ann", "asked", NOW) == 2
    assert ledger.people.suppressed(["a", "b", "B", " b", "7", "007"]) == {
        "b": "suppressed",
        "007": "suppressed",
    }


def test_thousands_of_contacts_are_looked_up_and_put_on_the_list(ledger):
    """More than a statement holds."""
    contacts = [f"c{number}" for number in range(4500)]
    assert ledger.people.suppress(contacts[::2], "ann", "", NOW) == 2250
    assert set(ledger.people.suppressed(contacts)) == set(contacts[::2])


def test_suppressing_again_keeps_the_first_word(ledger):
    ledger.people.suppress(["a"], "ann", "first", NOW)
    assert ledger.people.suppress(["a"], "bob", "second", NOW) == 0
    [listed] = ledger.people.list_suppressions()
    assert (listed.contact_id, listed.kind) == ("a", "suppressed")
    assert (listed.added_by, listed.reason, listed.added_at) == ("ann", "first", NOW)


def test_who_is_taken_off_the_list_may_be_written_to(ledger):
    ledger.people.suppress(["a", "b"], "ann", "", NOW)
    assert ledger.people.unsuppress(["a", "x"]) == 1
    assert set(ledger.people.suppressed(["a", "b"])) == {"b"}


def test_the_list_is_of_one_namespace(ledger):
    Ledger(ledger.engine, "staging").people.suppress(["a"], "ann", "", NOW)
    assert ledger.people.suppressed(["a"]) == {}
    assert ledger.people.list_suppressions() == []


def test_the_list_outlives_another_secret(ledger):
    """Suppressed contacts are found whatever SEGUE_SECRET is: their ids are readable anyway."""
    with_secret(ledger, "a long secret: one").people.suppress(["a"], "ann", "", NOW)
    for secret in (None, "a long secret: two"):
        assert with_secret(ledger, secret).people.suppressed(["a"]) == {"a": "suppressed"}


def test_a_forgotten_contact_is_known_by_its_digest_alone(ledger):
    keyed = with_secret(ledger, "a long secret: one")
    keyed.retention.forget("a", "ann", NOW)
    assert keyed.people.suppressed(["a", "b"]) == {"a": "forgotten"}
    with ledger.engine.connect() as connection:
        ids = connection.execute(select(suppressions.c.contact_id)).scalars().all()
    assert set(ids) == {None}
    assert [listed.kind for listed in keyed.people.list_suppressions()] == ["forgotten"]


@pytest.mark.parametrize("secret", [None, "a long secret: two"])
def test_without_the_secret_nothing_is_said_about_anybody(ledger, secret):
    """A forgotten contact would pass for one that may be written to."""
    with_secret(ledger, "a long secret: one").retention.forget("a", "ann", NOW)
    other = with_secret(ledger, secret)
    with pytest.raises(SettingsError, match="contacts were forgotten with it"):
        other.people.suppressed(["b"])
    with pytest.raises(SettingsError, match="contacts were forgotten with it"):
        record(other, run(), detected(stretch(21, 22), added("b")))
    with pytest.raises(SettingsError, match="SEGUE_SECRET"):
        other.people.suppress(["b"], "ann", "", NOW)


def test_who_was_forgotten_is_not_put_on_the_list_by_name_nor_taken_off(ledger):
    keyed = with_secret(ledger, "a long secret: one")
    keyed.retention.forget("a", "ann", NOW)
    assert keyed.people.suppress(["a", "b"], "ann", "", NOW) == 1
    assert keyed.people.unsuppress(["a"]) == 0
    assert keyed.people.suppressed(["a", "b"]) == {"a": "forgotten", "b": "suppressed"}
