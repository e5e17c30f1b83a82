"""Events on disk: whole or not at all, found again, in order."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.errors import DestinationError
from worker.notify.event_store import EventStore, Fate

A, B, C = "a" * 32, "b" * 32, "c" * 32


def open_again(store: EventStore, directory: Path) -> EventStore:
    store.close()
    return EventStore(directory)


def test_events_outlive_their_process_in_order(tmp_path):
    store = EventStore(tmp_path / "callbacks")
    for event_id, body in ((B, b"1"), (A, b"2"), (C, "ü".encode())):
        assert store.add(event_id, body)
    store.finish(1, Fate.SENT)

    store = open_again(store, tmp_path / "callbacks")

    head = store.head()
    assert (head.number, head.event_id, head.body) == (2, A, b"2")
    store.finish(2, Fate.SENT)
    assert store.head().body == "ü".encode()
    assert store.pending == 1
    store.close()


def test_an_event_is_kept_once_whatever_became_of_it(tmp_path):
    store = EventStore(tmp_path)
    store.add(A, b"first")
    store.add(B, b"other")
    store.finish(1, Fate.SENT)

    assert not store.add(A, b"second")
    store = open_again(store, tmp_path)
    assert not store.add(A, b"third")
    assert not store.add(B, b"fourth")
    assert store.head().body == b"other"
    store.close()


def test_a_write_that_was_cut_short_leaves_nothing(tmp_path, monkeypatch):
    store = EventStore(tmp_path)
    store.add(A, b"1")
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.add(B, b"2")
    monkeypatch.undo()

    store = open_again(store, tmp_path)

    assert store.pending == 1
    assert store.add(B, b"2")
    assert store.last == 2
    store.close()


def test_an_event_is_synced_before_it_has_its_name_and_its_name_after(tmp_path, monkeypatch):
    synced: list[list[str]] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        fsync(handle)
        synced.append(sorted(path.suffix for path in tmp_path.iterdir()))

    store = EventStore(tmp_path)
    monkeypatch.setattr(os, "fsync", watched)
    store.add(A, b"1")

    assert synced == [[".new"], [".pending"]]
    store.close()


def test_a_full_disk_keeps_events_in_memory(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = EventStore(tmp_path)
    store.add(A, b"1")
    monkeypatch.setattr(os, "fsync", full)
    assert store.add(B, b"2")
    monkeypatch.undo()
    store.add(C, b"3")

    bodies = []
    while head := store.head():
        bodies.append(head.body)
        store.finish(head.number, Fate.SENT)
    assert bodies == [b"1", b"2", b"3"]
    store.close()


def test_what_cannot_be_read_is_given_up_and_holds_up_nobody(tmp_path):
    store = EventStore(tmp_path)
    store.add(A, b"1")
    store.add(B, b"2")
    damaged = next(tmp_path.glob("*1-*.pending"))
    damaged.unlink()
    damaged.mkdir()

    assert store.head().body == b"2"
    assert store.given_up == 1
    store = open_again(store, tmp_path)
    assert (store.pending, store.given_up) == (1, 1)
    store.close()


def test_an_event_whose_file_is_renamed_back_is_sent_again(tmp_path):
    store = EventStore(tmp_path)
    store.add(A, b"1")
    store.finish(1, Fate.GIVEN_UP)
    [path] = tmp_path.glob("*.given-up")
    path.rename(path.with_suffix(".pending"))

    store = open_again(store, tmp_path)

    assert store.head().event_id == A
    assert store.given_up == 0
    store.close()


def test_a_receiver_that_is_gone_stays_gone_until_the_mark_is_removed(tmp_path):
    store = EventStore(tmp_path)
    store.add(A, b"1")
    store.stop()

    store = open_again(store, tmp_path)
    assert store.is_stopped
    assert store.pending == 1
    (tmp_path / "stopped").unlink()
    store = open_again(store, tmp_path)
    assert not store.is_stopped
    store.close()


def test_since_when_the_head_fails_is_remembered(tmp_path):
    store = EventStore(tmp_path)
    store.add(A, b"1")
    store.add(B, b"2")
    assert store.failing_since(1) is None
    store.fails(1, 12.5)

    store = open_again(store, tmp_path)
    assert store.failing_since(1) == 12.5
    store.finish(1, Fate.SENT)
    assert store.failing_since(2) is None
    store.close()


def test_a_directory_belongs_to_one_process_at_a_time(tmp_path):
    code = (
        "import pathlib, sys; from worker.notify.event_store import EventStore; "
        "EventStore(pathlib.Path(sys.argv[1]))"
    )
    other_process = [sys.executable, "-c", code, str(tmp_path)]
    store = EventStore(tmp_path)

    while_open = subprocess.run(other_process, capture_output=True, text=True)
    store.close()
    afterwards = subprocess.run(other_process, capture_output=True, text=True)

    assert "another process" in while_open.stderr
    assert afterwards.returncode == 0, afterwards.stderr


def test_a_place_that_cannot_be_written_is_a_destination_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(DestinationError):
        EventStore(tmp_path / "file" / "callbacks")
