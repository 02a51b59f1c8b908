"""Each kind with real forms, and what looks like it; the pins are published examples or made by other libraries.

Sources of the numbers: payment cards and IBANs are the test numbers of the networks and of the SWIFT registry; the
resident identity number 11010519491231002X stands in GB 11643-1999; SSN 078-05-1120 is the one of the SSA's history.
"""

import ipaddress
import random

import polars as pl
import pytest

from modelyard.data.personal.find import PERSONAL_KINDS, find_personal, mask, redact


def frame(*texts: str | None) -> pl.DataFrame:
    return pl.DataFrame({"row": range(1, len(texts) + 1), "text": texts}, schema={"row": pl.Int64, "text": pl.String})


def found(text: str) -> list[tuple[str, str]]:
    """Kind and the very characters of each finding."""
    spans = find_personal(frame(text)).select("kind", "start", "length").iter_rows()
    return [(kind, text[start : start + length]) for kind, start, length in spans]


@pytest.mark.parametrize(
    ("text", "kind", "span"),
    [
        ("mail a.b+c@example.com. Next", "email", "a.b+c@example.com"),
        ("写信到abc@qq.com，谢谢", "email", "abc@qq.com"),
        ("ｗｒｉｔｅ　ａｂｃ＠ｑｑ．ｃｏｍ！", "email", "ａｂｃ＠ｑｑ．ｃｏｍ"),
        ("Jörg <jörg@müller.de>", "email", "jörg@müller.de"),
        ("ask bob@example.com.Then wait", "email", "bob@example.com"),
        ("https://x.org/leave?mail=jo@example.org&a=1", "email", "jo@example.org"),
        ("http://lists.example.org/dev@example.org/msg1", "email", "dev@example.org"),
        ("<mailto:jo@example.org?subject=hi>", "email", "jo@example.org"),
        ("Zhang <13812345678@163.com>", "email", "13812345678@163.com"),
        ("fax +1 727-538-7059 x12 now", "phone_international", "+1 727-538-7059 x12"),
        ("+41 (0)44 668 18 00, thanks", "phone_international", "+41 (0)44 668 18 00"),
        ("tel 0044 7700 900123", "phone_international", "0044 7700 900123"),
        ("dial 011-506-2267-7139", "phone_international", "011-506-2267-7139"),
        ("+44 7700 900123 2024-01-02", "phone_international", "+44 7700 900123"),
        ("(727) 538-7059 ext. 12", "phone_national", "(727) 538-7059 ext. 12"),
        ("727.538.7059", "phone_national", "727.538.7059"),
        ("in London 020 7946 0958", "phone_national", "020 7946 0958"),
        ("à Paris 02.64.62.52.37", "phone_national", "02.64.62.52.37"),
        ("前台010-62345678转801", "phone_national", "010-62345678转801"),
        ("请拨打0755-12345678。", "phone_national", "0755-12345678"),
        ("客服400-820-8820", "phone_national", "400-820-8820"),
        ("Tlf: 0312. 439 2850/", "phone_national", "0312. 439 2850"),
        ("FAX: 31 205241590", "phone_national", "31 205241590"),
        ("***  801-397-9010*** Tel=", "phone_national", "801-397-9010"),
        ("Tel=234-1-776-2397", "phone_national", "234-1-776-2397"),
        ("Fax : 82-2-3411-3118", "phone_national", "82-2-3411-3118"),
        ("call me at 445 6271", "phone_national", "445 6271"),
        ("Phone:\n469 7851\n", "phone_national", "469 7851"),
        ("914 54 925 (mobile)", "phone_national", "914 54 925"),
        ("联系方式：62345678", "phone_national", "62345678"),
        ("手机13812345678号", "cn_mobile", "13812345678"),
        ("手机１３８１２３４５６７８号", "cn_mobile", "１３８１２３４５６７８"),
        ("+86 138 1234 5678", "cn_mobile", "+86 138 1234 5678"),
        ("2024-01-02 13812345678 login", "cn_mobile", "13812345678"),
        ("tel13812345678", "cn_mobile", "13812345678"),
        ("from 203.0.113.7:8080", "ipv4", "203.0.113.7"),
        ("ping 1.1.1.1", "ipv4", "1.1.1.1"),
        ("地址是10.0.0.12。", "ipv4", "10.0.0.12"),
        ("at fe80::1ff:fe23:4567:890a", "ipv6", "fe80::1ff:fe23:4567:890a"),
        ("2001:db8:85a3:0:0:8a2e:370:7334", "ipv6", "2001:db8:85a3:0:0:8a2e:370:7334"),
        ("::ffff:192.0.2.128", "ipv6", "::ffff:192.0.2.128"),
        ("4111 1111 1111 1111", "payment_card", "4111 1111 1111 1111"),
        ("amex 3782-822463-10005", "payment_card", "3782-822463-10005"),
        ("卡号6212345678901232", "payment_card", "6212345678901232"),
        ("card 30569309025904", "payment_card", "30569309025904"),
        ("to GB29 NWBK 6016 1331 9268 19 AND MORE", "iban", "GB29 NWBK 6016 1331 9268 19"),
        ("DE89370400440532013000", "iban", "DE89370400440532013000"),
        ("身份证11010519491231002X", "cn_resident_id", "11010519491231002X"),
        ("１１０１０５１９４９１２３１００２Ｘ", "cn_resident_id", "１１０１０５１９４９１２３１００２Ｘ"),
        ("身份证号 130503670401001", "cn_resident_id", "130503670401001"),
        ("his passport is E12345678.", "passport", "E12345678"),
        ("护照号码：EA1234567。", "passport", "EA1234567"),
        ("SSN 536-90-4399", "us_ssn", "536-90-4399"),
        ("social security number 536904399", "us_ssn", "536904399"),
        ("AKIAJ7KQ2ZNXWPLM4RTB", "api_key", "AKIAJ7KQ2ZNXWPLM4RTB"),
        (f"ghp_{'aB3dE5gH7jK9mN1p' * 3}"[:40], "api_key", f"ghp_{'aB3dE5gH7jK9mN1p' * 3}"[:40]),
        ("LTAI5tQx7RbWm2Zk9VnPc3Yd", "api_key", "LTAI5tQx7RbWm2Zk9VnPc3Yd"),
        ("sk-3f9a1c7e5b2d8f4a6c0e9b7d1f3a5c8e", "api_key", "sk-3f9a1c7e5b2d8f4a6c0e9b7d1f3a5c8e"),
        ("api_key = 'f3a9c2e87b1d4056af92c3d4e5b60718'", "secret", "f3a9c2e87b1d4056af92c3d4e5b60718"),
        ("密码：aG8#kL2$pQ9!xZ4w", "secret", "aG8#kL2$pQ9!xZ4w"),
        ("password=qXvRbTZKmWcLPYsHd7Jf", "secret", "qXvRbTZKmWcLPYsHd7Jf"),
        ("postgres://app:s3cr3tpw9@db.example.com/x", "secret", "s3cr3tpw9"),
    ],
)  # fmt: skip
def test_found(text: str, kind: str, span: str) -> None:
    assert found(text) == [(kind, span)]


@pytest.mark.parametrize(
    "text",
    [
        "released 2024-01-02 10:11:12 as 1.2.3.4.5",
        "version 10.15.7.1 and 版本号7.22.17.21",
        "MP3 Rename 7.1.4.0",
        "127.0.0.1, 0.0.0.0, mask 255.255.255.0, 256.1.1.1",
        "20020826151301 and 01-02-2003 12:30 and 03/14/2019 15:09",
        "1700000000 1700000000123 0.123456789012",
        "ISBN 7-302-12345-6, ISBN 978-0-306-40615-7, ISSN 1095-3965",
        "订单号13812345678，单号：SF1234567890123，价格：13812345678元",
        "order 4111111111111111 shipped",
        "客服联系我：174208675是我的订单编号，手机号136134462**",
        "4111 1111 1111 1112",
        "https://item.example.com/13812345678?id=13912345678",
        "GB29 NWBK 6016 1331 9268 18",
        "110105194912310021 and 620102197002101919",
        "130503670401001",
        "passport needed by 20240102",
        "E12345678",
        "SSN 078-05-1120, 666-12-3456, 900-12-3456",
        "536904399",
        "01 02 03 04 05, draw 03 06 26 39 48",
        "Newark, NJ 07102-2992",
        "std::vector a::b 12:30:45 00:1b:44:11:3a:b7:00:01",
        "ftp://bob@example.com/x icon@2x.png git@github.com:a/b @home a@b",
        "Message-ID: <ab12@mail.example.com>",
        "References: <a@b.cc>\n <ab12@mail.example.com>",
        "<20020913183343.M49078@example.com>",
        "AKIAIOSFODNN7EXAMPLE",
        "sk-loading-animation-with-a-very-long-name",
        "token = self.tokenizer.decode_batch1",
        "password: correcthorsebattery, api_key: your_api_key_here_1234",
        "token: getRequestTokenFromSession, secret: MY_OWN_SECRET_NAME",
        "token = AUTH_TOKEN_header_name; secret: getXMLHTTPRequestURL",
        "secret = hashlib.sha256hex1234567(",
        "postgres://app:password@db/x and postgres://app:$PASSWORD@db/x",
        "+123456789 is no number: no such country; +1 123 456 7890",
        "call it 1234567",
        "成交量1380000000股，坐标116.397128,39.916527",
        "",
    ],
)
def test_not_found(text: str) -> None:
    assert found(text) == []


def test_private_key_as_a_whole() -> None:
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQ"
    key = f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{body}\n-----END RSA PRIVATE KEY-----"
    escaped = key.replace("\n", "\\n")
    assert found(f"see {key}\nend") == [("private_key", key)]
    assert found(f'{{"key": "{escaped}"}}') == [("private_key", escaped)]
    cut = f"-----BEGIN PRIVATE KEY-----\n{body}"
    assert found(f"{cut}!") == [("private_key", cut)]
    assert found("-----BEGIN PUBLIC KEY-----\nMIIB") == []


def test_rows_spans_and_nulls() -> None:
    rows = frame("nothing", None, "a@example.com or b@example.com", "你好，a@example.com")
    table = find_personal(rows)
    assert table.schema == {
        "row": pl.Int64,
        "kind": pl.String,
        "start": pl.Int64,
        "length": pl.Int64,
        "shown": pl.String,
    }
    assert table.select("row", "start", "length").rows() == [(3, 0, 13), (3, 17, 13), (4, 3, 13)]
    assert find_personal(rows.clear()).is_empty()


def test_the_more_specific_kind_wins() -> None:
    # an IBAN whose digits hold a Luhn number, a password that holds an address, a passport beside a telephone word
    assert [kind for kind, _ in found("secret=postgres://u:aB3dE5gH7jK9mN1p@db.example.com")] == ["secret"]
    assert found("电话：+8613812345678") == [("cn_mobile", "+8613812345678")]
    assert found("passport 123456789, phone") == [("passport", "123456789")]


def test_redact_keeps_the_rest() -> None:
    rows = frame(
        "mail jo@example.com or ring (727) 538-7059!", None, "身份证11010519491231002X，手机13812345678。", "plain"
    )
    assert redact(rows, find_personal(rows)).to_list() == [
        "mail <EMAIL> or ring <PHONE>!",
        None,
        "身份证<CN_RESIDENT_ID>，手机<CN_MOBILE>。",
        "plain",
    ]
    assert redact(rows, find_personal(rows).clear()).to_list() == rows["text"].to_list()


def test_shown_never_holds_the_value() -> None:
    assert mask("email", "alice@example.com") == "a***@e***.com"
    assert mask("cn_mobile", "+86 138 1234 5678") == "138****5678"
    assert mask("ipv4", "203.0.113.7") == "203.*.*.*"
    assert mask("api_key", "AKIAJ7KQ2ZNXWPLM4RTB") == "AKIA****"
    assert find_personal(frame("１１０１０５１９４９１２３１００２Ｘ"))["shown"].to_list() == ["110****2X"]
    values = [
        "11010519491231002X",
        "4111111111111111",
        "536-90-4399",
        "DE89370400440532013000",
        "2001:db8::1",
        "E12345678",
    ]
    for kind in PERSONAL_KINDS:
        if kind.name not in ("email", "cn_mobile", "ipv4"):
            for value in values:
                kept = mask(kind.name, value).replace("*", "")
                assert value not in mask(kind.name, value)
                assert len(kept) <= len(value) / 2 or kind.name == "private_key"


def test_kinds_are_named_once_and_say_their_source() -> None:
    names = [kind.name for kind in PERSONAL_KINDS]
    assert len(set(names)) == len(names) == 14
    assert all(kind.source and kind.what and kind.mark.startswith("<") for kind in PERSONAL_KINDS)


def test_ip_addresses_agree_with_the_standard_library() -> None:
    chance = random.Random(7)
    four = [str(ipaddress.IPv4Address(chance.randrange(1 << 32))) for _ in range(300)]
    six = [str(ipaddress.IPv6Address(chance.getrandbits(125) | 1 << 125)) for _ in range(100)]
    named = find_personal(frame(*[f"host {address}," for address in four + six]))
    meant = [i for i, text in enumerate(four, 1) if not text.startswith(("0.", "127.", "255."))]
    assert named["row"].to_list() == [*meant, *range(301, 401)]
    assert set(named["kind"]) == {"ipv4", "ipv6"}


@pytest.mark.parametrize(
    "part", ["1 2 3 ", "+1 ", "a@", "<a@b.cc> ", "::", "1.2.3.4 ", "-----BEGIN PRIVATE KEY-----", "("]
)
def test_long_repetitions_end(part: str) -> None:
    text = part * 5_000
    table = find_personal(frame(text))
    assert (table["start"] + table["length"] <= len(text)).all()
