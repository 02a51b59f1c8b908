"""Every word of the page in English and Chinese, both of them inside the file; the style sheet shows one."""

import json
import re
from functools import cache
from pathlib import Path

from markupsafe import Markup, escape

LANGUAGES = ("en", "zh")
TAGS = {"en": "en", "zh": "zh-CN"}
MAX_SENTENCE = 600  # characters; a longer one is no sentence of ours
_HERE = Path(__file__).parent
_SLOT = re.compile(r"\{\d\}")


def read_words() -> dict[str, dict[str, str]]:
    """The table `words.json`: key -> language -> words, with `{name}` where a value goes."""
    table: dict[str, dict[str, str]] = json.loads((_HERE / "words.json").read_text(encoding="utf-8"))
    return table


def read_sentences() -> list[dict[str, str]]:
    """The table `sentences.json`: what stages write in English, with `{0}` for what varies, and the same in Chinese."""
    table: list[dict[str, str]] = json.loads((_HERE / "sentences.json").read_text(encoding="utf-8"))
    return table


@cache
def _words() -> dict[str, dict[str, Markup]]:
    return {key: {name: Markup(text) for name, text in entry.items()} for key, entry in read_words().items()}


@cache
def _sentences() -> list[tuple[re.Pattern[str], str]]:
    """Patterns in the order of their fixed text, the most of it first, so that the closest one answers."""
    found = sorted(read_sentences(), key=lambda entry: -len(_SLOT.sub("", entry["en"])))
    return [(re.compile(_pattern(entry["en"]), re.DOTALL), entry["zh"]) for entry in found]


def _pattern(sentence: str) -> str:
    """A regular expression for a sentence with slots: `{0}` becomes a group of that number."""
    seen: set[str] = set()
    parts = []
    for part in re.split(r"(\{\d\})", sentence):
        if not _SLOT.fullmatch(part):
            parts.append(re.escape(part))
            continue
        name = f"slot{part[1]}"
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>.+?)")
        seen.add(name)
    return "".join(parts)


def has(key: str) -> bool:
    """Whether the table knows a key: names of rules that a project's own stages invent are not in it."""
    return key in _words()


def words(key: str, **values: object) -> Markup:
    """The words of a key in both languages, as HTML; values are escaped unless they are HTML already."""
    return both(**{language: text.format(**values) for language, text in _words()[key].items()})


def svg_words(key: str, **values: object) -> Markup:
    """`words` for the inside of an SVG `<text>`."""
    return both("tspan", **{language: text.format(**values) for language, text in _words()[key].items()})


def one(key: str, language: str, **values: object) -> str:
    """The words of a key in one language as plain text, for use inside a value of that language."""
    return str(_words()[key][language]).format(**values)


def both(element: str = "span", *, en: str, zh: str) -> Markup:
    """A text in both languages; bare where they are the same."""
    if escape(en) == escape(zh):
        return escape(en)
    return Markup('<{0} class="en" lang="en">{1}</{0}><{0} class="zh" lang="zh-CN">{2}</{0}>').format(
        Markup(element), en, zh
    )


def sentence(text: str) -> Markup:
    """A sentence that a stage wrote in English: with its Chinese where the table knows it, else as it stands."""
    chinese = chinese_of(text)
    return Markup('<span lang="en">{}</span>').format(text) if chinese is None else both(en=text, zh=chinese)


def chinese_of(text: str) -> str | None:
    """The Chinese of a stage's sentence, with the same values in it; None for one that the table does not know."""
    if len(text) > MAX_SENTENCE:
        return None
    for pattern, chinese in _sentences():
        found = pattern.fullmatch(text)
        if found is not None:
            values = {f"{{{name[-1]}}}": _value(value) for name, value in found.groupdict().items()}
            return _SLOT.sub(lambda slot, values=values: values[slot[0]], chinese)  # type: ignore[misc]
    return None


def _value(text: str) -> str:
    """What stands in a slot may be sentences of a stage themselves, such as the reason or the differences in a note."""
    parts = [chinese_of(part) for part in text.split("; ")]
    return "；".join(part for part in parts if part) if all(parts) else chinese_of(text) or text
