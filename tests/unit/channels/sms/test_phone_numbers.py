"""Phone numbers: only punctuation is removed, and nothing is guessed."""

from __future__ import annotations

import pytest

from segue.channels.sms.phone_numbers import read_number, read_sender


@pytest.mark.parametrize(
    "written",
    [
        "+447700900123",
        "+44 7700 900123",
        "+44-7700-900.123",
        " +44 (7700) 900/123 ",
        "+44\u00a07700\u202f900\u2011123",
        "\u202a+447700900123\u202c",  # as address books copy it
        "\u200e+447700900123",
    ],
)
def test_punctuation_is_removed(written: str):
    assert read_number(written) == "+447700900123"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "+",
        "07700900123",
        "447700900123",
        "00447700900123",
        "+0447700900123",
        "+44 (0)7700 900123",
        "+44 ( 0 ) 7700 900123",
        "+44770090012345678",
        "+123456",
        "+44 7700 900123 ext 5",
        "+44 7700 900123, +44 7700 900124",
        "+٤٤٧٧٠٠٩٠٠١٢٣",
        "+1 800 FLOWERS",
        "whatsapp:+447700900123",
        "tel:+447700900123",
        "+447700900123\r\n+447700900124",
        "\u202e+447700900123",
        "+" + "4" * 10_000,
        "447700900123.0",
        "<script>",
    ],
)
def test_what_is_no_number_is_refused(written: str):
    with pytest.raises(ValueError, match="it "):
        read_number(written)


@pytest.mark.parametrize("sender", ["+15005550006", "20123", "Shop", "My Shop", "A", "M&S-24_7+"])
def test_a_sender_is_a_number_a_short_code_or_a_name(sender: str):
    assert read_sender(sender) == sender


def test_a_senders_number_may_be_written_with_spaces():
    assert read_sender("+1 500 555 0006") == "+15005550006"


@pytest.mark.parametrize(
    "sender", ["", "12", "123456789", "Twelve chars", "Zoë", "whatsapp:+15005550006", "a\nb", "+12"]
)
def test_any_other_sender_is_refused(sender: str):
    with pytest.raises(ValueError, match="it is not"):
        read_sender(sender)
