"""Small edits of a question, in English by words and in Chinese by characters, and copies planted in longer rows."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

AROUND = 60  # units of a host document before a planted copy, and behind it
PUNCTUATION = re.compile(r"[^\w\s]")
WIDE = str.maketrans({code: code + 0xFEE0 for code in range(0x21, 0x7F)})  # ASCII to full width
NARROW = str.maketrans("，。？！：；（）、“”", ',.?!:;(),""')


@dataclass(frozen=True)
class Language:
    """How a text is cut into what a person edits, and the units that edits put in."""

    name: str
    split: Callable[[str], list[str]]
    glue: str
    units: list[str]

    def edits(self, length: int) -> int:
        """One edit below 12 units, two below 24, three from there: one in eight to twelve."""
        return 1 if length < 12 else 2 if length < 24 else 3


Edit = Callable[[str, Language, random.Random], str]


def replaced(text: str, language: Language, chance: random.Random) -> str:
    """One to three units replaced by others."""
    units = language.split(text)
    for place in chance.sample(range(len(units)), language.edits(len(units))):
        units[place] = chance.choice(language.units)
    return language.glue.join(units)


def cut(text: str, language: Language, chance: random.Random) -> str:
    """The last eighth left out, one unit at least."""
    units = language.split(text)
    return language.glue.join(units[: -max(1, len(units) // 8)])


def inserted(text: str, language: Language, chance: random.Random) -> str:
    """One to three units put in."""
    units = language.split(text)
    for _ in range(language.edits(len(units))):
        units.insert(chance.randrange(1, len(units)), chance.choice(language.units))
    return language.glue.join(units)


def deleted(text: str, language: Language, chance: random.Random) -> str:
    """One to three units left out."""
    units = language.split(text)
    for _ in range(language.edits(len(units))):
        units.pop(chance.randrange(len(units)))
    return language.glue.join(units)


def clauses(text: str, language: Language, chance: random.Random) -> str:
    """The two clauses at the comma nearest to the middle, or the two halves where there is none, in the other order."""
    units = language.split(text)
    middle = len(units) // 2
    commas = [place + 1 for place, unit in enumerate(units[:-1]) if unit[-1] in ",，;；:："]
    at = min(commas, key=lambda place: abs(place - middle)) if commas else middle
    return language.glue.join([*units[at:], *units[:at]])


def dressed(text: str, language: Language, chance: random.Random) -> str:
    """Other punctuation, case, width and spacing; no letter changed."""
    text = text.translate(NARROW) if chance.random() < 0.5 else PUNCTUATION.sub(lambda _: chance.choice("；—~ "), text)
    text = text.upper() if chance.random() < 0.5 else text.title()
    text = text.translate(WIDE) if chance.random() < 0.5 else text
    return text.replace(" ", "\n") if chance.random() < 0.5 else text.replace(" ", "  ")


def swapped(text: str, language: Language, chance: random.Random) -> str:
    """One to three slips of the keyboard: two letters of a word, or two neighbouring characters, changed about."""
    units = language.split(text)
    for place in chance.sample(range(len(units) - 1), min(language.edits(len(units)), len(units) - 1)):
        if not language.glue:
            units[place : place + 2] = units[place + 1], units[place]
        elif len(units[place]) > 1:
            at = chance.randrange(len(units[place]) - 1)
            word = units[place]
            units[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return language.glue.join(units)


def mixed(text: str, language: Language, chance: random.Random) -> str:
    """Other punctuation and case, one unit put in, and from 12 units on one left out."""
    units = language.split(PUNCTUATION.sub(" ", text) if language.glue else PUNCTUATION.sub("", text))
    units.insert(chance.randrange(1, len(units)), chance.choice(language.units))
    if len(units) > 12:
        units.pop(chance.randrange(len(units)))
    return language.glue.join(units).upper()


CHOSEN_BY: dict[str, Edit] = {"replaced": replaced, "cut": cut}
HELD_OUT: dict[str, Edit] = {
    "inserted": inserted,
    "deleted": deleted,
    "clauses": clauses,
    "dressed": dressed,
    "swapped": swapped,
    "mixed": mixed,
}


def embed(copy: str, host: str, language: Language, chance: random.Random) -> str:
    """A copy within up to 60 units of another text before it and as many behind it."""
    units = language.split(host)
    at = chance.randrange(len(units) + 1)
    before, behind = units[max(0, at - AROUND) : at], units[at : at + AROUND]
    return language.glue.join([*before, copy, *behind])
