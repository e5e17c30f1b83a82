import os
from pathlib import Path

import pytest

from worker.testroom import loop_cache
from worker.testroom.loop_cache import LoopCache, LoopUnit, pack, unpack

LOOP = (LoopUnit(b"key" * 50, keyframe=True), LoopUnit(b"", level_dbov=-127), LoopUnit(b"x"))


def test_what_was_stored_comes_back(tmp_path: Path):
    LoopCache(tmp_path / "new" / "place").store("a", LOOP)

    assert LoopCache(tmp_path / "new" / "place").load("a") == LOOP


def test_what_was_not_stored_does_not(tmp_path: Path):
    assert LoopCache(tmp_path).load("a") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: b"X" + content[1:],
        lambda content: content[:60] + bytes((content[60] ^ 1,)) + content[61:],
    ],
)
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, damage):
    cache = LoopCache(tmp_path)
    cache.store("a", LOOP)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))

    assert cache.load("a") is None


@pytest.mark.parametrize("body", [b"\0\0\0", b"\1\0\0\0\0\5abc"])
def test_lengths_that_lie_are_refused_even_with_a_good_checksum(body: bytes):
    good = pack(())
    forged = good[:8] + loop_cache.hashlib.sha256(body).digest() + body

    assert unpack(good) == ()
    assert unpack(forged) is None


def test_the_least_recently_used_are_deleted_first(tmp_path: Path):
    size = len(pack(LOOP))
    cache = LoopCache(tmp_path, max_bytes=3 * size)
    for age, key in enumerate("abc"):
        cache.store(key, LOOP)
        os.utime(tmp_path / f"{key}.loop", ns=(age, age))
    cache.load("a")

    cache.store("d", LOOP)

    assert sorted(path.stem for path in tmp_path.iterdir()) == ["a", "c", "d"]


def test_a_directory_that_cannot_be_made_is_worked_without(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    cache = LoopCache(tmp_path / "file" / "loops")

    cache.store("a", LOOP)

    assert cache.load("a") is None


def test_the_cache_lies_where_the_user_keeps_such_things(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert loop_cache.default_directory() == Path("/somewhere/mixworker/loops")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert loop_cache.default_directory() == Path("/home/ada/.cache/mixworker/loops")
