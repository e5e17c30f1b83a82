from worker.core.identity import UserId
from worker.core.slots import GallerySlots


def seated(*names: str) -> GallerySlots:
    gallery = GallerySlots()
    for name in names:
        gallery.enter(UserId(name))
    return gallery


def shown(gallery: GallerySlots) -> str:
    """One character per slot, a dot where nobody sits."""
    return "".join(user or "." for user in gallery.slots)


def test_entrants_take_the_first_empty_slot() -> None:
    gallery = GallerySlots()
    grown = [shown(gallery)]
    for name in "abcdefg":
        gallery.enter(UserId(name))
        grown.append(shown(gallery))
    assert grown == ["", "a", "ab", "abc.", "abcd", "abcde.", "abcdef", "abcdefg.."]


def test_a_leavers_slot_stays_empty_until_the_next_entrant_takes_it() -> None:
    gallery = seated(*"abcdefgh")
    gallery.leave(UserId("c"))
    assert shown(gallery) == "ab.defgh."
    gallery.enter(UserId("x"))
    assert shown(gallery) == "abxdefgh."


def test_users_move_up_in_slot_order_when_fewer_rows_are_needed() -> None:
    gallery = seated(*"abcdefg")
    gallery.leave(UserId("b"))
    assert shown(gallery) == "acdefg"


def test_users_move_up_in_slot_order_when_fewer_columns_are_needed() -> None:
    gallery = seated(*"abcde")
    gallery.leave(UserId("a"))
    assert shown(gallery) == "bcde"


def test_several_empty_slots_are_filled_from_the_first() -> None:
    gallery = seated(*"abcdefghi")
    gallery.leave(UserId("h"))
    gallery.leave(UserId("b"))
    assert shown(gallery) == "a.cdefg.i"
    gallery.enter(UserId("x"))
    gallery.enter(UserId("y"))
    assert shown(gallery) == "axcdefgyi"


def test_the_last_leaver_leaves_an_empty_gallery() -> None:
    gallery = seated("a")
    gallery.leave(UserId("a"))
    assert gallery.slots == ()


def test_from_the_26th_on_users_wait_for_a_slot_in_order_of_arrival() -> None:
    gallery = seated(*"abcdefghijklmnopqrstuvwxyz", "1", "2")
    assert shown(gallery) == "abcdefghijklmnopqrstuvwxy"
    gallery.leave(UserId("c"))
    assert shown(gallery) == "abzdefghijklmnopqrstuvwxy"
    gallery.leave(UserId("1"))  # gives up waiting
    gallery.leave(UserId("a"))
    assert shown(gallery) == "2bzdefghijklmnopqrstuvwxy"
    gallery.leave(UserId("b"))
    assert shown(gallery) == "2.zdefghijklmnopqrstuvwxy"
