"""The `X-Rtc-*` headers."""

from tests.support.receiver import is_signed
from worker.notify.signature import signature_headers

KEY = "8923ab8c2dcef4538923ab8c2dcef453"
BODY = b'{"event_type":"RECORD_NEW_FILE_START","room_id":"room001"}'


def test_the_check_vector_of_the_api_reference():
    headers = signature_headers(
        BODY, auth_key=KEY, random_text="4f1c9d0a7e5b4c33", timestamp="1767323045"
    )

    assert headers == {
        "X-Rtc-Rand": "4f1c9d0a7e5b4c33",
        "X-Rtc-Timestamp": "1767323045",
        "X-Rtc-Signature": "ad2063c742015ee0292383d23801901c9e67bec3a69ea8326cdca0df54981b9e",
    }


def test_a_receiver_sees_one_changed_byte():
    headers = signature_headers(BODY, auth_key=KEY, random_text="r", timestamp="1")

    assert is_signed(headers, BODY, KEY)
    assert not is_signed(headers, BODY.replace(b"1", b"2"), KEY)
    assert not is_signed({**headers, "X-Rtc-Timestamp": "2"}, BODY, KEY)
    assert not is_signed(headers, BODY, KEY[:-1])


def test_a_key_is_used_as_utf_8():
    headers = signature_headers(BODY, auth_key="Schlüssel", random_text="r", timestamp="1")

    assert is_signed(headers, BODY, "Schlüssel")
