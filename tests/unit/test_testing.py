"""The fakes that a team's own tests use."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from segue.contracts.channel import Limit
from segue.errors import OutcomeUnknown
from segue.testing import AskableChannel, Question, RecordingChannel

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
MESSAGE = {"text": "hello"}


def lose(key: str, message: object) -> None:
    raise OutcomeUnknown("the answer was lost")


def test_a_message_whose_answer_is_lost_has_been_kept():
    channel = RecordingChannel.model_validate({"text": "hello"}).losing(lose)
    with channel.connect() as sender, pytest.raises(OutcomeUnknown):
        sender.send(MESSAGE, key="k1")
    assert channel.outbox.keys == ["k1"]


def test_a_recording_channel_counts_under_the_limits_it_is_given():
    limit = Limit("here", 1, 1.0)
    channel = RecordingChannel.model_validate({"text": "hello"})
    with channel.connect() as sender:
        assert list(sender.limits(MESSAGE)) == []
    with channel.limited(limit).connect() as sender:
        assert list(sender.limits(MESSAGE)) == [limit]


def test_a_recording_channel_cannot_be_asked_and_an_askable_one_can():
    assert not RecordingChannel.model_validate({"text": "hi"}).can_be_asked
    assert AskableChannel.model_validate({"text": "hi"}).can_be_asked


def test_an_askable_channel_finds_what_it_has_with_the_receipt_of_the_sending():
    channel = AskableChannel.model_validate({"text": "hello"})
    with channel.connect() as sender:
        receipt = sender.send(MESSAGE, key="k1")
        traces = {key: channel.trace(MESSAGE) for key in ("k1", "k2")}
        assert sender.find(traces, NOW) == {"k1": receipt}
    assert channel.outbox.questions == [Question(traces, NOW)]


def test_an_askable_channel_may_be_unable_to_tell():
    def cannot_tell(question: Question) -> None:
        raise OutcomeUnknown(f"asked for {sorted(question.traces)}")

    channel = AskableChannel.model_validate({"text": "hello"}).asked(cannot_tell)
    with channel.connect() as sender, pytest.raises(OutcomeUnknown, match="k1"):
        sender.find({"k1": {}}, NOW)
