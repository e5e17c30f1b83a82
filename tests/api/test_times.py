import pytest

from worker.api.wire.times import bucket_instant, instant


@pytest.mark.parametrize(
    ("unix_ms", "written"),
    [
        (None, "0001-01-01T00:00:00Z"),
        (0, "1970-01-01T00:00:00Z"),
        (1_618_590_164_000, "2021-04-16T16:22:44Z"),
        (1_618_590_164_500, "2021-04-16T16:22:44.5Z"),
        (1_618_590_164_071, "2021-04-16T16:22:44.071Z"),
        (1_618_590_164_999, "2021-04-16T16:22:44.999Z"),
    ],
)
def test_instants_are_utc_with_a_fraction_only_where_there_is_one(
    unix_ms: int | None, written: str
) -> None:
    assert instant(unix_ms) == written


def test_buckets_have_a_form_of_their_own() -> None:
    assert bucket_instant(1_594_883_515_999) == "2020/07/16 07:11:55 GMT+00:00"
