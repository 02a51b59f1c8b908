"""Languages by script and by the detector."""

import socket

import polars as pl
import pytest

from modelyard.data.quality.language import detect


def languages(*texts: str | None) -> list[str]:
    return list(detect(pl.Series(texts, dtype=pl.String))["language"])


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("zh", "这部电影很好看"),
        ("zh", "這部電影很好看"),
        ("zh", "这个 app 的 UI 很 nice"),
        ("ja", "この映画はとても面白い"),
        ("ja", "ラーメン"),
        ("ko", "이 영화는 재미있어요"),
        ("th", "หนังเรื่องนี้สนุกมาก"),
        ("el", "Η ταινία ήταν ωραία"),
        ("he", "הסרט היה טוב מאוד"),
        ("ta", "திரைப்படம் நன்றாக இருந்தது"),
        ("or", "ଚଳଚ୍ଚିତ୍ରଟି ଭଲ"),
        ("en", "The film was better than the book, and shorter."),
        ("en", "THE FILM WAS BETTER THAN THE BOOK, AND SHORTER."),
        ("en", "We flew to 北京 last week and stayed there for a month."),
        ("fr", "Le film était meilleur que le livre, et plus court."),
        ("de", "Der Film war besser als das Buch, und kürzer."),
        ("ru", "Фильм был лучше книги, и короче."),
        ("uk", "Фільм був кращий за книжку, і коротший."),
        ("ar", "كان الفيلم أفضل من الكتاب وأقصر"),
        ("hi", "फिल्म किताब से बेहतर थी और छोटी भी"),
    ],
)
def test_languages(language: str, text: str) -> None:
    assert languages(text) == [language]


def test_what_nobody_can_tell() -> None:
    assert languages("", None, "12345 !!!", "qzx wvk", "\n") == ["und"] * 5
    found = detect(pl.Series(["", "这部电影", "ab电影"]))
    # two Latin letters weigh 2, two Han letters 2 x 30/9
    assert found["confidence"].to_list() == pytest.approx([0, 1, 60 / 9 / (60 / 9 + 2)])


def test_half_and_half_is_undetermined() -> None:
    text = "电影很好" + "αβγδεζηθικλμν" + "русскийтекст"
    assert languages(text) == ["und"]


def test_order_and_shape() -> None:
    found = detect(pl.Series(["Bonjour à tous mes amis", "好的", "Good morning to all of you", "", "좋아요"]))
    assert found.columns == ["language", "confidence"]
    assert found["language"].to_list() == ["fr", "zh", "en", "und", "ko"]
    assert found["confidence"].is_between(0, 1).all()
    assert detect(pl.Series([], dtype=pl.String)).height == 0


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert languages("Nothing of this is fetched from anywhere.") == ["en"]
