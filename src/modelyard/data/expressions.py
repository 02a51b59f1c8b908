"""SQL expressions over one row's columns: read word by word, checked, and compiled by Polars.

Polars sees only what passed here first. Each word must be a column, a value, or on the short lists below: operators
and functions of one row, whose result is no longer than a constant times what they read. So there is no aggregate, no
window, no random number, no subquery, no table function, no file and no network, because there is no word for them.

Why no rule can run for ever: each function is linear in its row; the length of the expression, the states of its
regular expressions (Rust's, linear time) and the number of constructs that Polars expands by copying their operand are
bounded. The last is no theory: 16 nested BETWEENs in 418 characters take Polars 2.1 fifteen seconds to plan, and each
one more doubles that.

A cast is a TRY_CAST: what cannot be read as a number is null, `nan` and `inf` are no numbers, `3.0` is a whole one, and
a row for which the expression is null is not kept.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

MAX_CHARACTERS = 2_000
MAX_DEPTH = 20
MAX_COPIES = 6
MAX_JOINED = 20
"""Operands of all `||` and CONCAT of a rule: what they make is at most so many times as long as a row."""
MAX_REGEX_STATES = 500
# `\w{1,100}` reads 0.1 MB/s, `[^\d]{1,480}` 0.03, `.{1,400}` 10 and more (Polars 2.1, one core); 500 so weighed, 3
_UNICODE_STATES = 10
_UNICODE_CLASS = re.compile(r"\\[dDsSwWpP]|\[\^")

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")+"|`[^`]+`)|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"""
    r"""|(?P<word>[^\W\d]\w*)|(?P<mark><>|!=|<=|>=|==|\|\||(?!--|/\*)[=<>+\-*/%(),])|(?P<other>\S))"""
)
_WORDS = frozenset(
    {"AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "ILIKE", "RLIKE", "REGEXP", "BETWEEN", "CASE", "WHEN", "THEN"}
    | {"ELSE", "END", "TRUE", "FALSE", "AS", "NFC", "NFD", "NFKC", "NFKD"}
)
_PATTERNS = frozenset({"LIKE", "ILIKE", "RLIKE", "REGEXP"})
_TYPES = {
    **dict.fromkeys(("INT", "INTEGER", "BIGINT", "LONG"), "BIGINT"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "REAL"), "DOUBLE"),
    **dict.fromkeys(("TEXT", "STRING", "VARCHAR"), "VARCHAR"),
}
# name -> positions, from 0, of the arguments that must be written out; all work on one row, and none makes it longer
# than the texts it is given, but for UPPER, LOWER and NORMALIZE by a constant
FUNCTIONS: dict[str, tuple[int, ...]] = {
    "ABS": (), "BIT_LENGTH": (), "CAST": (), "CEIL": (), "CHAR_LENGTH": (), "COALESCE": (), "CONCAT": (),
    "ENDS_WITH": (), "FLOOR": (), "GREATEST": (), "IFNULL": (), "LEAST": (), "LEFT": (1,), "LENGTH": (), "LOWER": (),
    "LTRIM": (), "MOD": (1,), "NORMALIZE": (), "NULLIF": (), "OCTET_LENGTH": (), "REGEXP_LIKE": (1, 2),
    "REPLACE": (1, 2), "RIGHT": (1,), "ROUND": (1,), "RTRIM": (), "STARTS_WITH": (), "STRPOS": (), "SUBSTR": (1, 2),
    "TRIM": (), "TRY_CAST": (), "UPPER": (),
}  # fmt: skip
_COPYING = frozenset({"BETWEEN", "NULLIF", "LEFT", "RIGHT", "SUBSTR", "STRPOS", "MOD"})
# words of other SQL dialects -> what to write
_INSTEAD = {
    "::": "write CAST(column AS INT)",
    ".": "write the name of the column alone, in double quotes if it holds a dot",
    ";": "one rule is one expression",
    "[": "write a list in round brackets: lang IN ('zh', 'en')",
    "--": "put comments into modelyard.yaml, behind a #",
    "/*": "put comments into modelyard.yaml, behind a #",
    "'": "close the text; a quote inside one is written twice: 'it''s'",
    '"': "close the name",
    "~": "write REGEXP_LIKE(column, 'pattern')",
    "SELECT": "a rule sees one row: subqueries are not read",
    "OVER": "a rule sees one row: windows are not read",
    "COUNT": "a rule sees one row: aggregates are not read",
    "SUM": "a rule sees one row: aggregates are not read",
    "AVG": "a rule sees one row: aggregates are not read",
    "MIN": "a rule sees one row: write LEAST(a, b) for the smaller of two columns",
    "MAX": "a rule sees one row: write GREATEST(a, b) for the larger of two columns",
    "LEN": "write LENGTH(column)",
    "CONTAINS": "write column LIKE '%part%'",
    "SUBSTRING": "write SUBSTR(column, first, count)",
    "DATE": "dates written YYYY-MM-DD compare as texts: day >= '2024-01-01'",
}
# every rule is tried on these, alone and together: what it says of a row may not depend on the others
_PROBES = (
    "",
    "a",
    "0",
    "-1",
    "3.5",
    "1e400",
    "nan",
    "inf",
    "3.0",
    " 3 ",
    "99999999999999999999",
    "true",
    "2024-01-31",
    "你好，世界",
    "a\nb\t'\"\\",
    None,
)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str

    @property
    def word(self) -> str:
        """In capitals, for what is no column."""
        return self.text.upper()


class Refused(Exception):
    """What is wrong with an expression, and what to write instead."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.next_step = next_step


def compile_expression(text: str, columns: Sequence[str]) -> pl.Expr:
    """An expression over columns of texts that is true, false or null of a row.

    Raises:
        Refused: it says what a rule may not, names no column or an unknown one, or gives something else.
    """
    if len(text) > MAX_CHARACTERS:
        raise Refused(f"it has {len(text)} characters, the most is {MAX_CHARACTERS}", "divide it into several rules")
    tokens = _read(text)
    if not tokens:
        raise Refused("it is empty", "write what is true for the rows to keep, such as LENGTH(text) < 2000")
    named = _check_words(tokens, columns)
    _check_calls(tokens)
    _check_copies(tokens)
    _check_joined(tokens)
    try:
        expression = pl.sql_expr(_rewritten(tokens, named))
    except (pl.exceptions.PolarsError, RecursionError) as error:
        raise Refused(
            f"it cannot be read: {_message(error)}", "write it as LENGTH(text) < 2000 AND lang = 'zh'"
        ) from error
    _try(expression, sorted(set(named.values())))
    return expression


def _read(text: str) -> list[_Token]:
    """The words; whatever is none of ours is refused."""
    tokens = []
    position = 0
    depth = 0
    while position < len(text) and (match := _TOKEN.match(text, position)) is not None:
        kind = str(match.lastgroup)
        token = _Token(kind, match[kind])
        if kind == "other":
            rest = text[match.start(kind) :]
            what = next((mark for mark in ("::", "--", "/*") if rest.startswith(mark)), token.text)
            raise Refused(f"{what!r} is not read", _INSTEAD.get(what, "write it with < = > + - * / % || and words"))
        depth += (token.text == "(") - (token.text == ")")
        if depth > MAX_DEPTH:
            raise Refused(f"brackets nest deeper than {MAX_DEPTH}", "divide it into several rules")
        tokens.append(token)
        position = match.end()
    return tokens


def _check_words(tokens: Sequence[_Token], columns: Sequence[str]) -> dict[int, str]:
    """Position -> column, of every word that is one.

    Raises:
        Refused: a word that is neither ours nor a column; a call of anything else; no column at all.
    """
    named: dict[int, str] = {}
    for position, token in enumerate(tokens):
        called = position + 1 < len(tokens) and tokens[position + 1].text == "("
        if token.text == "*" and (position == 0 or tokens[position - 1].text in ("(", ",")):
            raise Refused("* does not stand for all columns here", "name the column")
        if token.kind not in ("word", "quoted") or _is_ours(tokens, position, called):
            continue
        if position > 0 and _ends_a_value(tokens[position - 1]):  # SQL would take it for a new name of what is before
            raise Refused(f"an operator is missing before {token.text}", "write AND, OR or a comparison there")
        name = token.text if token.kind == "word" else token.text[1:-1].replace('""', '"')
        if called:  # a column's name in front of a bracket would be read as a function again
            near = difflib.get_close_matches(name.upper(), [*FUNCTIONS, *_INSTEAD], n=1, cutoff=0.7)
            advice = _INSTEAD.get(name.upper()) or (_INSTEAD.get(near[0], f"did you mean {near[0]}") if near else "")
            raise Refused(f"{name} is not a function of rules", advice or f"known here: {', '.join(FUNCTIONS)}")
        if name not in columns:
            raise Refused(f"{name!r} is not a column", _advice(name, token, columns))
        named[position] = name
    if not named:
        raise Refused("it names no column, so that it says the same of every row", "name a column of the file")
    return named


def _ends_a_value(token: _Token) -> bool:
    if token.kind in ("text", "number", "quoted") or token.text == ")":
        return True
    return token.kind == "word" and (token.word not in _WORDS or token.word in ("NULL", "TRUE", "FALSE", "END"))


def _is_ours(tokens: Sequence[_Token], position: int, called: bool) -> bool:
    if tokens[position].kind == "quoted":
        return False
    word = tokens[position].word
    behind_as = position > 0 and tokens[position - 1].word == "AS" and tokens[position - 1].kind == "word"
    if behind_as:
        if word not in _TYPES:
            raise Refused(f"{tokens[position].text} is not a type of rules", f"known here: {', '.join(_TYPES)}")
        return True
    return word in _WORDS or (called and word in FUNCTIONS)


def _advice(name: str, token: _Token, columns: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, list(columns), n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}"
    if token.kind == "word" and token.word in _INSTEAD:
        return _INSTEAD[token.word]
    if token.kind == "quoted" and token.text[0] == '"':
        return f"texts stand in single quotes: '{name}'; {_some(columns)}"
    return _some(columns)


def _some(columns: Sequence[str]) -> str:
    return f"columns here: {', '.join(columns[:10])}" + (", …" if len(columns) > 10 else "")


def _check_calls(tokens: Sequence[_Token]) -> None:
    """Arguments that must be written out; replacements that do not make a text longer; bounded patterns."""
    patterns = []
    like = 0
    for position, token in enumerate(tokens):
        if token.kind != "word":
            continue
        behind = tokens[position + 1] if position + 1 < len(tokens) else _Token("mark", "")
        if token.word in FUNCTIONS and behind.text == "(":
            arguments = _arguments(tokens, position + 1)
            _check_arguments(token.word, arguments)
            patterns += [argument[0].text for argument in arguments[1:2] if token.word == "REGEXP_LIKE"]
        elif token.word in _PATTERNS:
            if behind.kind != "text":
                raise Refused(f"{token.word} needs its pattern written out in single quotes", "write the pattern there")
            if token.word in ("RLIKE", "REGEXP"):
                patterns.append(behind.text)
            else:  # Polars makes a regular expression of it, with `.` for `_` and `.*` for `%`
                like += len(behind.text) + _UNICODE_STATES * sum(map(behind.text.count, "_%"))
    states = like + sum(regex_states(_unquoted(pattern)) for pattern in patterns)
    if states > MAX_REGEX_STATES:
        raise Refused(
            f"with its repetitions written out the pattern has {states} states, the most is {MAX_REGEX_STATES}",
            "write + or * in place of {m,n}, or a smaller n, or divide it into several rules",
        )


def _check_arguments(function: str, arguments: Sequence[Sequence[_Token]]) -> None:
    for place in FUNCTIONS[function]:
        if place < len(arguments) and not _is_value(arguments[place]):
            raise Refused(f"argument {place + 1} of {function} must be written out", "write a value there")
    if function == "REPLACE" and len(arguments) == 3:
        _check_replacement(arguments[1][0].text, arguments[2][0].text)


def _is_value(argument: Sequence[_Token]) -> bool:
    """A number, with a sign or none, or a text."""
    if len(argument) == 2 and argument[0].text in ("-", "+"):
        argument = argument[1:]
    return len(argument) == 1 and argument[0].kind in ("text", "number")


def _arguments(tokens: Sequence[_Token], opening: int) -> list[list[_Token]]:
    """The arguments of a call whose bracket opens at a position."""
    depth = 0
    arguments: list[list[_Token]] = [[]]
    for token in tokens[opening:]:
        if token.text == ")" and token.kind == "mark":
            depth -= 1
            if depth == 0:
                return arguments
        if token.text == "," and token.kind == "mark" and depth == 1:
            arguments.append([])
        elif depth > 0:
            arguments[-1].append(token)
        if token.text == "(" and token.kind == "mark":
            depth += 1
    raise Refused("a bracket is not closed", "close it")


def _check_replacement(old: str, new: str) -> None:
    """Nested replacements by something longer would grow a text exponentially."""
    if len(_unquoted(new).encode()) > len(_unquoted(old).encode()):
        raise Refused(f"REPLACE({old}, {new}) makes a text longer", "replace by something no longer")


def regex_states(pattern: str) -> int:
    """States that a search walks through at each character, an upper estimate.

    A character is one, a Unicode class ten, and each counts as often as its bound says.
    """
    totals, last = [0], 0
    for match in re.finditer(
        r"\\[pP]\{[^}]*\}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\s*(\d+)\s*(,?)\s*(\d*)\s*\}|.", pattern, re.DOTALL
    ):
        token = match[0]
        if token == "(":
            totals.append(0)
            last = 0
        elif token == ")" and len(totals) > 1:
            last = totals.pop()
            totals[-1] += last
        elif match[1] is not None:
            times = max(int(match[1][:6]), int(match[3][:6] or 0), 1)
            totals[-1] += last * (times - 1)
            last *= times
        elif token not in "|?*+^$":
            last = _UNICODE_STATES if _UNICODE_CLASS.search(token) else 1
            totals[-1] += last
    return sum(totals)


def _check_copies(tokens: Sequence[_Token]) -> None:
    """Bound the constructs that Polars expands by copying an operand: nested, they grow exponentially.

    A column alone is copied for nothing and does not count. A list of values makes no copies; other lists are refused,
    and so is CASE with an operand.
    """
    copies = 0
    for position, token in enumerate(tokens):
        if token.kind != "word":
            continue
        before, behind = tokens[max(0, position - 1)], tokens[min(position + 1, len(tokens) - 1)]
        if token.word == "IN" and not all(map(_is_value, _arguments(tokens, position + 1))):
            raise Refused("IN needs a list of values", "write the values: lang IN ('zh', 'en')")
        if token.word == "CASE" and behind.word != "WHEN":
            raise Refused("CASE needs WHEN behind it", "write CASE WHEN column = 'a' THEN ... ELSE ... END")
        if token.word == "BETWEEN":
            copies += not _is_lone_column(tokens, position - (before.word == "NOT"))
        elif token.word in ("CAST", "TRY_CAST") and behind.text == "(":
            copies += 2 * (len(_arguments(tokens, position + 1)[0]) > 3)  # more than `column AS TYPE`
        elif token.word in _COPYING and behind.text == "(":
            copies += len(_arguments(tokens, position + 1)[0]) > 1
    if copies > MAX_COPIES:
        raise Refused(
            f"BETWEEN, CAST, NULLIF, LEFT, RIGHT, SUBSTR, STRPOS, MOD of an expression stand in it {copies} times,"
            f" the most is {MAX_COPIES}",
            "divide it into several rules",
        )


def _check_joined(tokens: Sequence[_Token]) -> None:
    """Bound what is joined: a text of 1 MiB joined to itself a hundred times is a hundred of them for every row."""
    marks = sum(token.text == "||" and token.kind == "mark" for token in tokens)
    calls = [place for place, token in enumerate(tokens) if token.kind == "word" and token.word == "CONCAT"]
    joined = marks + sum(len(_arguments(tokens, place + 1)) for place in calls)
    if joined > MAX_JOINED:
        raise Refused(f"|| and CONCAT join {joined} texts, the most is {MAX_JOINED}", "divide it into several rules")


def _is_lone_column(tokens: Sequence[_Token], end: int) -> bool:
    """Whether what ends before a position is one column or value, and no part of something larger."""
    if end < 1 or tokens[end - 1].kind == "mark" or tokens[end - 1].word in _WORDS:
        return False
    before = tokens[end - 2] if end > 1 else _Token("mark", "(")
    return before.text in ("(", ",") or before.word in ("AND", "OR", "NOT", "WHEN", "THEN", "ELSE")


def _rewritten(tokens: Sequence[_Token], named: Mapping[int, str], start: int = 0, end: int | None = None) -> str:
    """SQL with every column in quotes and every cast one that gives null."""
    parts = []
    position, end = start, len(tokens) if end is None else end
    while position < end:
        token = tokens[position]
        if token.kind == "word" and token.word in ("CAST", "TRY_CAST"):
            inside = position + 2
            until = inside + sum(map(len, _arguments(tokens, position + 1))) - 2
            operand = _rewritten(tokens, named, inside, until)
            lone = until - inside == 1 and inside in named
            parts.append(_cast(f"TRIM({operand})" if lone else operand, _TYPES[tokens[until + 1].word]))
            position = until + 3
            continue
        if position in named:
            parts.append('"' + named[position].replace('"', '""') + '"')
        else:
            parts.append("=" if token.text == "==" else token.text)
        position += 1
    return " ".join(parts)


def _cast(operand: str, kind: str) -> str:
    """A cast that gives null for what is no finite number; a whole number may be written `3.0`, as pandas does."""
    if kind == "VARCHAR":
        return f"TRY_CAST({operand} AS VARCHAR)"
    number = f"TRY_CAST({operand} AS DOUBLE)"
    if kind == "DOUBLE":
        return f"(CASE WHEN ABS({number}) <= 1.7976931348623157e308 THEN {number} END)"
    whole = f"CASE WHEN {number} = FLOOR({number}) AND ABS({number}) < 9e18 THEN TRY_CAST({number} AS BIGINT) END"
    return f"COALESCE(TRY_CAST({operand} AS BIGINT), {whole})"


def _try(expression: pl.Expr, columns: Sequence[str]) -> None:
    """Try it on a few odd rows: it must give true or false, and of one row the same as of it among the others."""
    count = len(_PROBES)
    probes = {name: [_PROBES[(row + shift) % count] for row in range(count)] for shift, name in enumerate(columns)}
    frame = pl.DataFrame(probes, schema=dict.fromkeys(columns, pl.String))
    try:
        together = frame.select(kept=expression)["kept"]
        alone = [frame[row].select(kept=expression)["kept"].to_list() for row in range(count)]
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        message = _message(error)
        typed = any(word in message for word in ("compare string", "dtype", "not supported", "cast"))
        advice = (
            "columns hold texts: write CAST(column AS INT) or CAST(column AS DOUBLE)"
            if typed
            else "compare what is of one kind"
        )
        raise Refused(f"it cannot be evaluated: {message}", advice) from error
    if together.dtype != pl.Boolean:
        raise Refused(f"it gives {together.dtype}, not true or false", "compare it: LENGTH(text) < 2000")
    if [[value] for value in together.to_list()] != alone:
        raise Refused("what it says of a row depends on other rows", "write a rule of one row")


def _unquoted(text: str) -> str:
    return text[1:-1].replace("''", "'")


def _message(error: BaseException) -> str:
    """What Polars says, without the expression and the marks under it; of a regular expression what is wrong."""
    lines = str(error).splitlines() or [""]
    wrong = next((line for line in lines if line.startswith("error: ")), "")
    return f"the regular expression has an {wrong}" if wrong else lines[0][:200]
