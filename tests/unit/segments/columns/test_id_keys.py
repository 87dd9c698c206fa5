"""Keys of ids are a shortcut: whatever keys are equal, the answers are those of the ids."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from segue.directory import id_hashes as hashes
from segue.directory.id_hashes import all_differ, id_keys
from segue.segments.columns import id_keys as module
from segue.segments.columns.id_keys import IdSet, group_ids, leading_keys, order_of_ids

IDS = ["CID_1", "CID_2", "007", "7", "", "é", "😀", "x" * 8, "x" * 9, "x" * 41, "a\0", "a", "CID_1"]


def column(*chunks):
    return pa.chunked_array([pa.array(chunk, pa.large_string()) for chunk in chunks])


@pytest.fixture
def few_keys(monkeypatch):
    """Give ids of one length one key, as if the hash had failed."""
    lengths = lambda ids: pc.binary_length(ids).to_numpy().astype(np.uint64)  # noqa: E731
    monkeypatch.setattr(module, "id_keys", lengths)


def test_a_key_depends_on_the_id_alone():
    whole = id_keys(column(IDS)).tolist()
    assert [int(id_keys(column([one]))[0]) for one in IDS] == whole
    assert id_keys(column(IDS[:3], [], IDS[3:])).tolist() == whole
    assert id_keys(column(["other", *IDS]).slice(1)).tolist() == whole
    same_width = id_keys(column(["CID_0", "CID_1", "CID_2"])).tolist()
    assert same_width[1:] == whole[:2]
    assert len(set(whole)) == len(set(IDS))


def test_many_ids_of_one_length_have_the_keys_they_have_alone():
    ids = [f"CID_{number:015}" for number in range(20_000)]
    keys = id_keys(column(ids))
    assert len(np.unique(keys)) == len(ids)
    assert int(keys[15_000]) == int(id_keys(column([ids[15_000]]))[0])


@pytest.mark.parametrize("skip", [0, 1, 4, 7, 9])
def test_leading_keys_are_in_the_order_of_the_ids(skip):
    shared = "é234567890"
    ids = sorted(shared.encode()[:skip] + one.encode() for one in IDS)
    texts = pa.chunked_array([pa.array(ids).cast(pa.large_binary())])
    keys = hashes.keys_by_length(
        pa.chunked_array([_as_text(texts)]), lambda rows: hashes.word(rows, skip).byteswap()
    )
    assert keys.tolist() == sorted(keys.tolist())


def _as_text(binary):
    chunk = binary.chunk(0)
    return pa.LargeStringArray.from_buffers(len(chunk), *chunk.buffers()[1:])


def test_leading_keys_skip_what_all_ids_share():
    assert leading_keys(column(["CID_1", "CID_2"]), 4).tolist() == [0x31 << 56, 0x32 << 56]


@pytest.mark.parametrize(
    "ids",
    [
        [],
        ["b"],
        IDS,
        [f"shared-beginning-{n % 7}-{n}" for n in range(90, 0, -1)],
        ["b", "a" * 20, ""],
    ],
)
def test_ids_are_put_in_the_order_of_their_bytes(ids):
    order = order_of_ids(column(ids[:3], ids[3:]))
    assert [ids[row] for row in order] == sorted(ids)


def check_groups(ids):
    rows, groups = group_ids(column(ids))
    assert [ids[rows[group]] for group in groups] == ids
    assert len(rows) == len(set(ids))


def test_rows_are_grouped_by_id():
    check_groups(IDS)
    check_groups([])


def test_rows_are_grouped_by_id_in_parts(monkeypatch):
    monkeypatch.setattr(hashes, "_PART", 7)
    check_groups([f"id{number % 40}" for number in range(200)])


def test_rows_are_grouped_by_id_when_different_ids_have_one_key(few_keys):
    check_groups(IDS)


@pytest.mark.parametrize("held", [[], ["007"], ["CID_1", "a", "😀"], sorted(set(IDS))])
def test_a_set_holds_its_ids_and_no_others(held):
    assert IdSet(column(held)).holds(column(IDS)).tolist() == [one in held for one in IDS]


@pytest.mark.parametrize("held", [["CID_1"], ["CID_1", "CID_3"], ["7", "a", "CID_2"]])
def test_a_set_holds_its_ids_alone_when_others_have_their_keys(few_keys, held):
    assert IdSet(column(held)).holds(column(IDS)).tolist() == [one in held for one in IDS]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_one_key_that_is_there_twice_is_found_wherever_it_is(size, monkeypatch):
    monkeypatch.setattr(hashes, "_PART", size)  # from one range of keys to very many
    random = np.random.default_rng(size)
    parts = [np.sort(random.integers(0, 2**64, 300, dtype=np.uint64)) for _ in range(3)]
    parts[0][-1], parts[2][0] = 2**64 - 1, 0
    assert all_differ(parts)
    for part, place in [(0, 299), (2, 0), (1, 150)]:
        key = parts[part][place]
        assert not all_differ([*parts, np.array([key])])
        parts_with = [*parts[:part], np.sort(np.append(parts[part], key)), *parts[part + 1 :]]
        assert not all_differ(parts_with)


def test_no_keys_all_differ():
    assert all_differ([])
    assert all_differ([np.zeros(0, np.uint64)])
