import gzip
from pathlib import Path

import pytest
import zstandard

from modelyard.data.reading.decode import decode_text, read_bytes
from modelyard.errors import InputError

CHINESE = "评论，标签\n这部电影真的很好看，演员表演出色。,好评\n"
FRENCH = "texte;note\nLe café était très agréable, à bientôt;5\n"
GERMAN = "Text;Stern\nSchöne Grüße aus München;5\n"


@pytest.mark.parametrize(
    ("text", "written", "read"),
    [
        (CHINESE, "utf-8", "utf-8"),
        (CHINESE, "utf-8-sig", "utf-8-sig"),
        (CHINESE, "utf-16", "utf-16"),
        (CHINESE, "utf-16-le", "utf-16-le"),
        (CHINESE, "utf-16-be", "utf-16-be"),
        (CHINESE, "utf-32", "utf-32"),
        (CHINESE, "gbk", "gb18030"),
        ("text,label\n很好看,1\n", "gbk", "gb18030"),
        (FRENCH, "cp1252", "cp1252"),
        (GERMAN, "latin-1", "cp1252"),
        ("評論,標籤\n這部電影真的很好看，演員表演出色。,好評\n", "big5", "big5"),
        ("", "utf-8", "utf-8"),
    ],
)
def test_encodings(text: str, written: str, read: str) -> None:
    assert decode_text(text.encode(written), "a.csv") == (text, read)


def test_nul_bytes_by_line() -> None:
    with pytest.raises(InputError) as caught:
        decode_text(b"a\nb\0\nc\n\0d\n", "a.csv")
    assert [problem.where for problem in caught.value.problems] == ["a.csv:2", "a.csv:4"]


def test_bytes_that_no_encoding_fits() -> None:
    with pytest.raises(InputError, match="save it as UTF-8"):
        decode_text(b"\xff\xfe\x00\xd8\n\n", "a.csv")  # marked UTF-16 with half a surrogate pair


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst"])
def test_compressed_round_trip(tmp_path: Path, name: str) -> None:
    data = b"".join(b"line %d\n" % number for number in range(100_000))
    pack = {"v": bytes, "z": gzip.compress, "t": zstandard.ZstdCompressor().compress}[name[-1]]
    (tmp_path / name).write_bytes(pack(data))
    assert read_bytes(tmp_path / name, name) == data


def test_several_frames(tmp_path: Path) -> None:
    pack = zstandard.ZstdCompressor().compress
    (tmp_path / "a.zst").write_bytes(pack(b"one") + pack(b"two"))
    assert read_bytes(tmp_path / "a.zst", "a") == b"onetwo"


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_cut_off_or_damaged(tmp_path: Path, pack) -> None:  # noqa: ANN001
    path = tmp_path / ("a.gz" if pack is gzip.compress else "a.zst")
    whole = pack(bytes(range(256)) * 1000)
    for data in (whole[:-5], b"not compressed at all"):
        path.write_bytes(data)
        with pytest.raises(InputError, match="cut off or damaged"):
            read_bytes(path, "a")


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard.data.reading.decode.BOMB_FLOOR_BYTES", 1000)
    for path, pack in ((tmp_path / "a.gz", gzip.compress), (tmp_path / "a.zst", zstandard.ZstdCompressor().compress)):
        path.write_bytes(pack(b"a" * 5_000_000))
        with pytest.raises(InputError, match="decompression bomb"):
            read_bytes(path, "a")
    monkeypatch.setattr("modelyard.data.reading.decode.MAX_TEXT_BYTES", 10)
    (tmp_path / "a.csv").write_bytes(b"a" * 11)
    with pytest.raises(InputError, match="more than 10 bytes"):
        read_bytes(tmp_path / "a.csv", "a")


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_bytes(tmp_path / "none.csv", "none.csv")


@pytest.mark.parametrize("text", ["Käse\n", "Maß; Größe\n", "señal mala\n", "¿Qué tal?\n"])
def test_few_western_letters_are_never_chinese(text: str) -> None:
    # each of these is valid GBK as well
    assert decode_text(text.encode("cp1252"), "a.csv") == (text, "cp1252")


def test_a_damaged_place_in_utf8_is_named_and_the_rest_is_not_guessed_anew() -> None:
    data = CHINESE.encode() * 3 + b"cut \xe5\xa5,x\n"
    with pytest.raises(InputError) as caught:
        decode_text(data, "a.csv")
    (problem,) = caught.value.problems
    assert problem.where == "a.csv:7"
    assert "the byte 0xe5, which does not fit" in problem.message
    assert decode_text(data, "a.csv", broken_lines_pass=True) == (data.decode("utf-8", "surrogateescape"), "utf-8")


def test_a_mark_of_utf8_and_a_damaged_place() -> None:
    with pytest.raises(InputError, match=r"a\.csv:2: the line holds the byte 0xff"):
        decode_text(b"\xef\xbb\xbfa\nb\xff\n", "a.csv")


def test_many_lines_are_counted_and_a_binary_file_passes_never() -> None:
    few = b"a,b\n" * 100 + b"a\0,b\n" * 5
    with pytest.raises(InputError, match=r"^a\.csv:101: 5 lines hold bytes that no text does"):
        decode_text(few, "a.csv")
    assert decode_text(few, "a.csv", broken_lines_pass=True)[1] == "utf-8"
    with pytest.raises(InputError, match=r"5 of its 6 lines .* it is a binary file"):
        decode_text(b"a\0,b\n" * 5, "a.csv", broken_lines_pass=True)


def test_a_gbk_file_with_a_nul_stays_gbk() -> None:
    text = CHINESE * 20 + "nul \0,x\n"
    assert decode_text(text.encode("gbk"), "a.csv", broken_lines_pass=True) == (text, "gb18030")
