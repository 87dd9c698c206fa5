from __future__ import annotations

import threading
from pathlib import Path

import pytest

from segue.errors import SettingsError
from segue.sandbox.store import JOURNAL, Message, Store


def receive(store: Store, text: str = "hello", service: str = "slack") -> Message:
    with store.transaction() as transaction:
        return transaction.receive(
            service, "message", to="#general", text=text, fields={"ts": "1"}, raw={"body": text}
        )


def test_a_reopened_store_knows_what_it_received_and_counts_on(tmp_path: Path) -> None:
    """Messages, documents and sequences survive; the next message has the next number."""
    store = Store(tmp_path)
    first = receive(store)
    with store.transaction() as transaction:
        number = transaction.next_id("tickets")
        transaction.put("tickets", str(number), {"id": number})
    store.close()

    reopened = Store(tmp_path)

    assert reopened.messages() == [first]
    assert reopened.values("tickets") == [{"id": 1}]
    assert receive(reopened).id == first.id + 1
    with reopened.transaction() as transaction:
        assert transaction.next_id("tickets") == 2
    reopened.close()


def test_an_exception_in_a_transaction_leaves_no_trace(tmp_path: Path) -> None:
    """Neither memory nor the journal keeps anything of a transaction that failed."""
    store = Store(tmp_path)

    def fail() -> None:
        with store.transaction() as transaction:
            transaction.put("tickets", str(transaction.next_id("tickets")), {"id": 1})
            transaction.receive("slack", "message", to="", fields={}, raw={})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.messages() == []
    assert store.values("tickets") == []
    assert (tmp_path / JOURNAL).read_bytes() == b""
    store.close()


def test_a_transaction_reads_what_it_has_written() -> None:
    """A document put earlier in a transaction is the one that get returns."""
    with Store().transaction() as transaction:
        assert transaction.get("tickets", "1") is None
        transaction.put("tickets", "1", {"status": "open"})
        assert transaction.get("tickets", "1") == {"status": "open"}


def test_a_line_cut_short_by_a_crash_is_dropped(tmp_path: Path) -> None:
    """The effect of an unfinished line was never answered, so it never happened."""
    store = Store(tmp_path)
    receive(store, "kept")
    store.close()
    with (tmp_path / JOURNAL).open("ab") as journal:
        journal.write(b'{"sequences": {"messages": 2}, "docum')

    reopened = Store(tmp_path)
    receive(reopened, "next")
    reopened.close()

    again = Store(tmp_path)
    assert [(message.id, message.text) for message in again.messages()] == [
        (1, "kept"),
        (2, "next"),
    ]
    again.close()


def test_a_damaged_journal_is_refused_with_file_and_line(tmp_path: Path) -> None:
    """A whole line that is not JSON is an error, not a reason to forget what follows."""
    (tmp_path / JOURNAL).write_text("not json\n", encoding="utf-8")

    with pytest.raises(SettingsError, match=rf"{JOURNAL}:1: "):
        Store(tmp_path)


def test_one_folder_serves_one_sandbox_at_a_time(tmp_path: Path) -> None:
    """A second store on a folder in use is refused; after closing the first it is not."""
    store = Store(tmp_path)
    with pytest.raises(SettingsError, match="in use by another sandbox"):
        Store(tmp_path)
    store.close()
    Store(tmp_path).close()


def test_clearing_forgets_everything_but_the_numbers(tmp_path: Path) -> None:
    """After clear there is nothing, also after a restart, and no number is given out twice."""
    store = Store(tmp_path)
    receive(store)
    store.clear()
    store.close()

    reopened = Store(tmp_path)
    assert reopened.messages() == []
    assert receive(reopened).id == 2
    reopened.close()


def test_concurrent_effects_are_each_counted_once() -> None:
    """Threads that receive at the same time lose nothing and share no number."""
    store = Store()
    threads = [
        threading.Thread(target=lambda: [receive(store) for _ in range(50)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [message.id for message in store.messages()] == list(range(1, 401))


def test_messages_are_found_by_service_kind_and_text() -> None:
    """Filters narrow; contains looks into every field, whatever the case."""
    store = Store()
    receive(store, "for CID_17")
    receive(store, "for someone else", service="zendesk")

    assert [message.text for message in store.messages(contains="cid_17")] == ["for CID_17"]
    assert [message.service for message in store.messages(service="zendesk")] == ["zendesk"]
    assert store.messages(kind="ticket") == []
    assert len(store.messages(contains="#general")) == 2
