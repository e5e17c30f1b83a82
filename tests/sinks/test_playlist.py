"""HLS playlists, to the letter."""

from worker.sinks.playlist import Segment, end, entry, header

START_UNIX_S = 1_619_600_227.0


def test_a_running_playlist_is_an_event_that_may_grow():
    text = header(target_s=6) + entry(Segment("a_00000.ts", START_UNIX_S, 6.0))
    assert text == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:3\n"
        "#EXT-X-TARGETDURATION:6\n"
        "#EXT-X-MEDIA-SEQUENCE:0\n"
        "#EXT-X-PLAYLIST-TYPE:EVENT\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        "#EXT-X-PROGRAM-DATE-TIME:2021-04-28T08:57:07.000Z\n"
        "#EXTINF:6.000000,\n"
        "a_00000.ts\n"
    )


def test_a_final_playlist_says_that_it_is_all():
    text = header(target_s=6, is_over=True) + end()
    assert "#EXT-X-PLAYLIST-TYPE:VOD\n" in text
    assert text.endswith("#EXT-X-ENDLIST\n")


def test_a_gap_is_marked():
    assert entry(Segment("b.ts", START_UNIX_S, 2, follows_gap=True)).startswith(
        "#EXT-X-DISCONTINUITY\n"
    )


def test_dates_are_utc_and_rounded_to_milliseconds():
    assert "2021-04-28T08:57:08.000Z" in entry(Segment("b.ts", START_UNIX_S + 0.9996, 2))
    assert "2021-04-28T08:57:07.067Z" in entry(Segment("b.ts", START_UNIX_S + 1 / 15, 2))
