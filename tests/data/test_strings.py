import pickle

import numpy as np
import pytest

from actrec_zoo.data.strings import PackedStrings, StringIndex, first_places

WORDS = ["run", "", "jump", "run", "日本", "", "jog", "caf\udce9"]


@pytest.mark.parametrize("texts", [[], [""], ["a"], ["", "ab", "", "日本 語.mp4", "caf\udce9.avi"]])
def test_packed_strings_give_back_what_was_packed(texts: list[str]) -> None:
    packed = PackedStrings(texts)
    assert list(packed) == texts
    assert len(packed) == len(texts)
    assert list(pickle.loads(pickle.dumps(packed))) == texts


def test_packed_strings_index_like_a_list() -> None:
    packed = PackedStrings(["a", "bc", "def"])
    assert (packed[-1], packed[-3], packed[1:], packed[::-1]) == ("def", "a", ["bc", "def"], ["def", "bc", "a"])
    for index in (3, -4):
        with pytest.raises(IndexError):
            packed[index]


def test_strings_are_taken_in_any_order() -> None:
    many = PackedStrings(f"video {number}" for number in range(5000))
    order = np.random.default_rng(0).permutation(5000)
    assert list(many.take(order)) == [f"video {number}" for number in order]
    assert list(PackedStrings(WORDS).take(np.array([7, 1, 1, 0]))) == [WORDS[7], "", "", "run"]
    assert many.take(order[:100]).lengths().tolist() == [len(f"video {number}") for number in order[:100]]
    assert list(PackedStrings([]).take(np.array([], dtype=np.int64))) == []


@pytest.mark.parametrize("key", [hash, len, lambda text: 0], ids=["hash", "length", "one for all"])
def test_strings_are_found_whatever_their_keys(key: object) -> None:
    index = StringIndex(PackedStrings(WORDS), key)  # type: ignore[arg-type]
    assert index.find(PackedStrings(["jog", "日本", "walk", "", "run", "本日"])).tolist() == [6, 4, -1, 1, 0, -1]
    assert index.find(PackedStrings([])).tolist() == []
    assert first_places(PackedStrings(WORDS), key).tolist() == [0, 1, 2, 0, 4, 1, 6, 7]  # type: ignore[arg-type]


def test_nothing_is_found_among_nothing() -> None:
    assert StringIndex(PackedStrings([])).find(PackedStrings(WORDS)).tolist() == [-1] * len(WORDS)
    assert first_places(PackedStrings([])).tolist() == []
