import asyncio

import pytest

from worker.engine.mailbox import Mailbox, MailboxClosed, MailboxFull, Overflow


async def test_items_come_out_in_the_order_they_went_in():
    mailbox: Mailbox[int] = Mailbox(3, Overflow.FAIL)
    for item in (1, 2, 3):
        await mailbox.put(item)

    assert [await mailbox.get() for _ in range(3)] == [1, 2, 3]


async def test_a_sender_waits_for_room_when_the_policy_is_back_pressure():
    mailbox: Mailbox[int] = Mailbox(1, Overflow.WAIT)
    await mailbox.put(1)

    async with asyncio.TaskGroup() as group:
        second = group.create_task(mailbox.put(2))
        await asyncio.sleep(0)
        assert not second.done()
        assert await mailbox.get() == 1

    assert await mailbox.get() == 2


async def test_a_full_mailbox_refuses_when_falling_behind_is_an_error():
    mailbox: Mailbox[int] = Mailbox(1, Overflow.FAIL)
    await mailbox.put(1)

    with pytest.raises(MailboxFull):
        await mailbox.put(2)


async def test_what_is_in_a_closed_mailbox_can_still_be_taken():
    mailbox: Mailbox[int] = Mailbox(4, Overflow.FAIL)
    await mailbox.put(1)
    await mailbox.put(2)
    mailbox.close()

    assert await mailbox.get_all() == [1, 2]
    assert await mailbox.get_all() == []
    assert await mailbox.get() is None


async def test_nothing_can_be_put_into_a_closed_mailbox():
    mailbox: Mailbox[int] = Mailbox(1, Overflow.WAIT)
    mailbox.close()

    with pytest.raises(MailboxClosed):
        await mailbox.put(1)


async def test_closing_wakes_a_waiting_sender_and_a_waiting_receiver():
    full: Mailbox[int] = Mailbox(1, Overflow.WAIT)
    await full.put(1)
    empty: Mailbox[int] = Mailbox(1, Overflow.WAIT)

    async def send() -> None:
        with pytest.raises(MailboxClosed):
            await full.put(2)

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        receiver = group.create_task(empty.get())
        await asyncio.sleep(0)
        full.close()
        empty.close()

    assert receiver.result() is None
