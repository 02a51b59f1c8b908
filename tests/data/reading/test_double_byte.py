"""Sentences of seven languages in the encodings that their Windows writes: whole and damaged, short and long."""

import pytest

from modelyard.data.reading.decode import decode_text
from modelyard.data.reading.double_byte import _common_han, _common_kanji, _decoded, common_share, find_double_byte
from modelyard.errors import InputError

SIMPLIFIED = (
    "房间很干净，服务员态度也很好，下次还会再来。",
    "等了四十分钟才上菜，味道一般，价格还不便宜。",
    "物流很快，第二天就收到了，包装没有破损。",
    "屏幕有一条亮线，联系客服三天没有人回复。",
)
TRADITIONAL = (
    "房間很乾淨，服務人員的態度也很好，下次還會再來。",
    "等了四十分鐘才上菜，味道普通，價格還不便宜。",
    "隔天就收到了，包裝完整，沒有破損。",
    "螢幕有一條亮線，聯絡客服三天都沒有人回覆。",
)
JAPANESE = (
    "部屋はとてもきれいで、スタッフの対応も良かったです。",
    "料理が出てくるまで四十分も待たされて、味は普通でした。",
    "翌日には届きました。箱に傷もありませんでした。",
    "画面に線が入っていて、問い合わせても返事がありません。",
)
KOREAN = (
    "방이 아주 깨끗하고 직원들도 친절했습니다. 다음에도 다시 올게요.",
    "음식이 나오기까지 사십 분이나 기다렸는데 맛은 보통이었어요.",
    "다음 날 바로 도착했고 상자도 멀쩡했습니다.",
    "화면에 줄이 있어서 문의했지만 사흘째 답이 없습니다.",
)
RUSSIAN = (
    "Номер был очень чистым, персонал приветливый, приедем ещё.",
    "Ждали заказ сорок минут, вкус обычный, цена высокая.",
    "Доставили на следующий день, коробка целая.",
    "На экране светлая полоса, поддержка молчит третий день.",
)
POLISH = (
    "Pokój był czysty, a obsługa bardzo uprzejma, jeszcze wrócimy.",
    "Czekaliśmy czterdzieści minut, jedzenie przeciętne, cena wysoka.",
    "Przesyłka dotarła następnego dnia, pudełko było całe.",
    "Na ekranie jest jasna kreska, a obsługa milczy trzeci dzień.",
)
FRENCH = (
    "La chambre était très propre et le personnel agréable, à bientôt.",
    "Nous avons attendu quarante minutes, goût banal, prix élevé.",
    "Livré dès le lendemain, la boîte était en bon état.",
    "Une ligne traverse l'écran et le service client ne répond pas.",
)
WRITTEN = [
    (SIMPLIFIED, "gbk", "gb18030"),
    (TRADITIONAL, "gbk", "gb18030"),
    (TRADITIONAL, "big5", "big5"),
    (JAPANESE, "cp932", "cp932"),
    (KOREAN, "euc_kr", "euc_kr"),
    (RUSSIAN, "cp1251", "cp1251"),
    (tuple(line.upper() for line in RUSSIAN), "cp1251", "cp1251"),
    (POLISH, "cp1250", "cp1250"),
    (FRENCH, "cp1252", "cp1252"),
]
DOUBLE = [case for case in WRITTEN if case[2] in ("gb18030", "big5", "cp932", "euc_kr")]


def table(sentences: tuple[str, ...], times: int = 1) -> str:
    return "text,label\n" + "".join(
        f'"{number}. {line}",{number % 2}\n' for number, line in enumerate(sentences * times)
    )


@pytest.mark.parametrize("times", [1, 60])
@pytest.mark.parametrize(("sentences", "written", "read"), WRITTEN)
def test_a_whole_file_is_read_in_its_encoding(sentences: tuple[str, ...], written: str, read: str, times: int) -> None:
    text = table(sentences, times)
    assert decode_text(text.encode(written), "a.csv") == (text, read)


@pytest.mark.parametrize("times", [2, 60])
@pytest.mark.parametrize(("sentences", "written", "read"), DOUBLE)
def test_a_cut_end_is_named(sentences: tuple[str, ...], written: str, read: str, times: int) -> None:
    text = table(sentences, times)
    letter = max(place for place, letter in enumerate(text) if letter > "\u3040" and letter < "\uff00")
    data = text[: letter + 1].encode(written)[:-1]
    assert_named(data, text.count("\n"), read)
    assert decode_text(data, "a.csv", broken_lines_pass=True)[0].startswith(text[:letter])


@pytest.mark.parametrize("times", [2, 60])
@pytest.mark.parametrize(("sentences", "written", "read"), DOUBLE)
def test_a_cut_cell_is_named(sentences: tuple[str, ...], written: str, read: str, times: int) -> None:
    lines = table(sentences, times).encode(written).split(b"\n")
    first = next(place for place, byte in enumerate(lines[3]) if byte > 0x80)
    lines[3] = lines[3][: first + 1] + b'",1'  # the first half of the cell's first letter
    assert_named(b"\n".join(lines), 4, read)


def assert_named(data: bytes, line: int, read: str) -> None:
    with pytest.raises(InputError) as caught:
        decode_text(data, "a.csv")
    assert [problem.where for problem in caught.value.problems] == [f"a.csv:{line}"]
    assert "does not fit the encoding of the rest" in caught.value.problems[0].message
    wider = {"big5": "cp950", "euc_kr": "cp949"}.get(read, read)
    assert decode_text(data, "a.csv", broken_lines_pass=True)[1] == wider


def test_damage_behind_what_was_looked_at_is_named_too() -> None:
    data = table(SIMPLIFIED, 2_000).encode("gbk")
    assert_named(data[:-30] + data[-29:], data.count(b"\n"), "gb18030")


def test_what_windows_adds_to_big5_and_to_euc_kr_is_no_damage() -> None:
    for text, encoding in ((table((*TRADITIONAL, "恒溫，裏面")), "cp950"), (table((*KOREAN, "펲시 뷁")), "cp949")):
        assert decode_text(text.encode(encoding), "a.csv") == (text, encoding)


def test_few_letters_prove_nothing() -> None:
    few = "很好看，味道不错".encode("gbk")
    assert find_double_byte(few * 100) is None  # the same seven letters: 很好看 is 볼봤옆 in EUC-KR
    assert find_double_byte(few + SIMPLIFIED[0].encode("gbk")) == "gb18030"


@pytest.mark.parametrize(("places", "found"), [(20, "gb18030"), (21, None)])
def test_many_damaged_places_are_no_accident(places: int, found: str | None) -> None:
    lines = (
        "房间很干净，服务员态度也很好，下次还会再来\n" * 10 + "物流很快，第二天收到，包装没有破损，下次还会再来\n" * 10
    ).encode("gbk")
    assert sum("\u4e00" <= letter <= "\u9fff" for letter in lines.decode("gbk")) == 400
    assert find_double_byte(lines + b"\xc4\n" * places) == found  # one for every 20 letters


def test_each_language_is_plausible_in_its_own_encoding_only() -> None:
    lines = {case[2]: "\n".join(case[0]).encode(case[1]) for case in WRITTEN if case[:2] != (TRADITIONAL, "gbk")}
    found = {
        (written, encoding): common_share(sample, encoding)
        for written, sample in lines.items()
        for encoding in ("gb18030", "big5", "cp932", "euc_kr")
    }
    plausible = {pair for pair, share in found.items() if share >= 0.8}
    own = {(name, name) for name in ("gb18030", "big5", "cp932", "euc_kr")}
    # Hangul stands where GBK has its common Han, and for the most part where Big5 has its own
    assert own <= plausible <= own | {("euc_kr", "gb18030"), ("euc_kr", "big5")}


def test_the_common_letters_are_the_standards_own() -> None:
    # the numbers that GB 2312-80, Big5 and JIS X 0208 give for their first levels
    assert len(_decoded(range(0xB0, 0xD8), range(0xA1, 0xFF), "gb2312")) == 3755
    assert len(_decoded(range(0xA4, 0xC6), [*range(0x40, 0x7F), *range(0xA1, 0xFF)], "big5")) + 63 == 5401
    assert len(_common_kanji()) == 2965
    assert {"的", "說", "说"} <= _common_han()
