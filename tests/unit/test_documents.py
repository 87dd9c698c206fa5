"""YAML documents: YAML 1.2's scalars, positions, and every problem at once."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from segue.documents import Definition, Items, parse_document, read_document, validate
from segue.errors import DefinitionError


def data(text: str):
    return parse_document(text, "x.yaml").data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("007", "007"),
        ("2026-11-22", "2026-11-22"),
        ("06:00", "06:00"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        (".inf", ".inf"),
        ("'5'", "5"),
        ("5", 5),
        ("9" * 5000, "9" * 5000),
        ("-5", -5),
        ("5.50", 5.5),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
    ],
)
def test_a_plain_scalar_is_text_unless_unmistakably_something_else(text, value):
    """``no`` is text, ``007`` is text, dates are text."""
    found = data(f"key: {text}\n")["key"]
    assert (found, type(found)) == (value, type(value))


def test_folded_text_has_single_blanks_and_no_control_characters():
    """The message of a ``>-`` scalar is one line."""
    assert data("key: >-\n  one\n  two\n") == {"key": "one two"}


class Inner(Definition):
    count: int = 0


class Outer(Definition):
    name: str
    inner: Inner = Inner()
    items: Items[Inner] = ()


def problems(text: str) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        validate(Outer, parse_document(text, "x.yaml"))
    return [str(problem) for problem in caught.value.problems]


def test_every_problem_of_a_file_is_reported_with_its_place():
    """Line, column, path, what was found and what is allowed."""
    assert problems("nme: a\ninner: {cuont: 1}\nitems:\n  - {count: many}\n  - 7\n") == [
        "x.yaml:1:1: name: the key 'name' is missing",
        "x.yaml:1:1: nme: unknown key 'nme'; allowed: name, inner, items; did you mean 'name'?",
        "x.yaml:2:9: inner.cuont: unknown key 'cuont'; allowed: count; did you mean 'count'?",
        "x.yaml:4:6: items[0].count: expected a valid integer, found 'many'",
        "x.yaml:5:5: items[1]: expected a mapping, found 7",
    ]


def test_a_duplicate_key_does_not_hide_other_problems():
    """Both the duplicate and the unknown key."""
    assert problems("name: a\nname: b\nother: c\n") == [
        "x.yaml:2:1: name: duplicate key 'name'; it is on line 1 already",
        "x.yaml:3:1: other: unknown key 'other'; allowed: name, inner, items",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1,\n", "x.yaml:2:1: is not valid YAML"),
        ("", "x.yaml:1:1: is empty; expected a mapping"),
        ("- a\n", "x.yaml:1:1: expected a mapping, found list"),
        ("a: &x [*x]\n", "an alias refers to a part that it stands in"),
        ("a: " + "[" * 3000 + "]" * 3000, "nested more than 200 levels deep"),
        ("a: " + "[" * 205 + "]" * 205, "nested more than 200 levels deep"),
        ("a: !!str 5\n", r"x.yaml:1:4: a: tags such as !!str are not read"),
        ("a: !!int '5'\n", "tags such as !!int are not read"),
        ("a: !secret b\n", "tags such as !secret are not read"),
        ("a: !!set {b: null}\n", "tags such as !!set are not read"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", r"x.yaml:3:3: c: merge keys \(<<\) are not read"),
        ('a: "\\ud83d"\n', "holds a lone surrogate"),
        ('"\\ud83d": a\n', "holds a lone surrogate"),
        ("? [a]\n: b\n", "a key must be a single word or text"),
    ],
)
def test_what_is_no_mapping_is_one_clear_problem(text, message):
    """Never a traceback."""
    with pytest.raises(DefinitionError, match=message.replace("[", r"\[").replace("?", r"\?")):
        validate(Outer, parse_document(text, "x.yaml"))


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    """Missing, and not UTF-8."""
    with pytest.raises(DefinitionError, match="cannot be read: No such file"):
        read_document(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_bytes(b"name: \xff")
    with pytest.raises(DefinitionError, match="not UTF-8 text"):
        read_document(tmp_path / "b.yaml")


def test_two_halves_of_a_character_are_the_character():
    """JSON is YAML, and writes some characters so."""
    assert parse_document('a: "\\ud83d\\ude00"\n', "x.yaml").data == {"a": "😀"}


def test_whatever_a_file_holds_is_read_or_is_an_error_of_the_definition():
    """Never another exception, however the bytes were damaged."""
    random = Random(5)
    sound = b'segment: "a\\ud83d"\nmatch:\n  all: [&x {field: b, one_of: [1, 2e9, *x]}, !!str c]\n'
    pieces = [b"\x00", b"\xff", b"{", b"[", b"&a ", b"*a", b"!!", b"<<: ", b"\t", b"%", b'"', b"\r"]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        for _ in range(400):
            data = bytearray(sound)
            for _ in range(random.randint(1, 4)):
                at = random.randrange(len(data))
                data[at : at + random.randint(0, 9)] = random.choice(pieces)
            path.write_bytes(bytes(data))
            with suppress(DefinitionError):
                found = read_document(path)
                json.dumps(found.data, ensure_ascii=False).encode()


@pytest.mark.parametrize("nest", ["[{}]", "{{k0: [{}]}}"])
def test_aliases_of_aliases_are_refused_before_anything_is_built(nest, monkeypatch):
    """Ten lists of ten aliases are ten thousand million values."""
    monkeypatch.setattr("segue.documents._Reader.value", None)
    lines = ["k0: &k0 [x, x]"]
    lines += [f"k{n}: &k{n} " + nest.format(", ".join([f"*k{n - 1}"] * 10)) for n in range(1, 11)]
    with pytest.raises(DefinitionError, match="aliases stand for more than 20,000 values"):
        parse_document("\n".join(lines), "x.yaml")
    with pytest.raises(DefinitionError, match="aliases stand for"):
        parse_document("match:\n" + "\n".join(f"  {line}" for line in lines), "x.yaml")


def test_an_anchor_may_be_set_again(recwarn):
    """YAML 1.2 allows it, and an alias means the one before it: there is nothing to warn of."""
    document = parse_document("a: &x 1\nb: &x 2\nc: *x\n", Path("x.yaml"))
    assert document.data["c"] == document.data["b"] != document.data["a"]
    assert not recwarn.list


def test_a_few_aliases_are_read():
    assert data("a: &a [1, 2]\nb: [*a, *a]\n") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


@pytest.mark.parametrize(
    "text",
    [
        "a: {{ contact.x }}",
        "a: {{ contact.x }} and more",
        "a: {{ contact.x | default('') }}",
        "a: {b: {{ contact.x }}}",
        "- {{ contact.x }} there",
    ],
)
def test_a_template_without_quotes_is_told_to_have_them(text):
    try:
        problems = parse_document(f"{text}\n", "f.yaml").problems
    except DefinitionError as error:
        problems = error.problems
    assert len(problems) == 1
    assert problems[0].message.endswith("; a text that begins with {{ is written in quotes")
