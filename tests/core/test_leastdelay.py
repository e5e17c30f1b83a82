from worker.core.leastdelay import WINDOW_S, LeastDelay

S = 1_000_000_000
MS = 1_000_000


def feed(least, from_s, to_s, delay_ms, every_ms=20):
    for at_ms in range(round(from_s * 1000), round(to_s * 1000), every_ms):
        least.observe(at_ms * 48, at_ms * MS, (at_ms + delay_ms) * MS)


def delays_ms(prompts):
    return [prompt.delay_ns // MS for prompt in prompts]


def test_one_second_keeps_its_promptest_arrival():
    least = LeastDelay()

    assert least.observe(0, 0, 30 * MS)
    assert not least.observe(960, 20 * MS, 60 * MS)
    assert least.observe(1920, 40 * MS, 50 * MS)

    (prompt,) = least.prompts()
    assert (prompt.rtp_timestamp, prompt.delay_ns, prompt.arrivals) == (1920, 10 * MS, 3)


def test_seconds_leave_the_window_and_the_last_one_stays_through_a_pause():
    least = LeastDelay()
    feed(least, 0, 5, 10)
    feed(least, 5, 20, 30)

    assert delays_ms(least.prompts()) == [30] * WINDOW_S
    feed(least, 100, 100.1, 50)
    assert delays_ms(least.prompts()) == [50]


def test_recent_arrivals_are_those_of_the_last_two_seconds():
    least = LeastDelay()
    feed(least, 0, 5, 10)
    feed(least, 5, 6.5, 300)

    assert delays_ms(least.recent()) == [10, 300, 300]
    feed(least, 6.5, 7.5, 300)
    assert delays_ms(least.recent()) == [300, 300, 300]
    least.forget_before_recent()
    assert delays_ms(least.prompts()) == [300, 300, 300]


def test_too_few_arrivals_prove_nothing():
    least = LeastDelay()
    feed(least, 0, 10, 10, every_ms=400)

    assert not least.is_recent_proof()
    assert delays_ms(least.recent()) == [10, 10, 10]
    feed(least, 10, 11, 10)
    assert least.is_recent_proof()


def test_an_arrival_of_the_past_counts_for_the_newest_second():
    least = LeastDelay()
    feed(least, 0, 3, 10)

    assert least.observe(0, 2_500 * MS, 2_501 * MS)
    assert delays_ms(least.prompts())[-1] == 1
