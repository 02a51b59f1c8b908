"""Check digits and ranges against numbers that standards and issuers publish."""

from modelyard.data.personal.checks import (
    CALLING_CODES,
    entropy_bits,
    is_card,
    is_iban,
    is_resident_id,
    passes_luhn,
)


def test_checks_against_published_numbers() -> None:
    assert all(map(passes_luhn, ("49927398716", "79927398713", "378282246310005")))
    assert not any(map(passes_luhn, ("49927398717", "79927398710")))
    cards = ("4111111111111111", "5555555555554444", "2223003122003222", "378282246310005", "6011111111111117")
    cards += ("3530111333300000", "30569309025904", "6200000000000005", "6759649826438453", "4222222222222")
    assert [card for card in cards if not is_card(card)] == []
    assert not any(map(is_card, ("0000000000000000", "1111111111111117", "411111111111111", "9999999999999995")))
    assert all(map(is_iban, ("NO9386011117947", "MT84MALT011000012345MTLCAST001S", "FR1420041010050500013M02606")))
    assert not any(map(is_iban, ("NO9386011117948", "NO93860111179471", "XX9386011117947")))
    assert is_resident_id("11010519491231002X")
    assert (
        is_resident_id("440524188001010014") is False
    )  # GB 11643's own example of a person born in 1880: too old here
    assert not any(map(is_resident_id, ("11010519491331002X", "99010519491231002X", "110105194912310020")))
    assert entropy_bits("aabb") == 1.0
    assert len(CALLING_CODES) == 215
