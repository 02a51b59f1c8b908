"""What a rule of the user's own may say, what it keeps, and everything that Polars would let through and we do not."""

from pathlib import Path

import polars as pl
import pytest

from modelyard.data.expressions import FUNCTIONS, regex_states
from modelyard.data.user_rules import MAX_RULES, UserRule, compile_rules, first_broken
from modelyard.errors import InputError

FRAME = pl.DataFrame(
    {
        "row": [11, 12, 13, 14],
        "text": ["short", "看 http://a.example", "这家店很好，会再来", None],
        "lang": ["en", "zh", "zh", None],
        "stars": ["3", "9", "five", None],
        "评分": ["5", "1", "4", None],
        "order": ["x", "y", "z", None],
        "the text": ["it's", "b", "c", None],
    },
    schema_overrides={"row": pl.Int64},
)
COLUMNS = FRAME.columns[1:]


def not_kept(keep: str) -> list[int]:
    found = first_broken(FRAME, compile_rules([UserRule("mine", keep)], COLUMNS))
    return FRAME["row"].filter(found["rule"].is_not_null()).to_list()


def refusal(keep: str, columns: list[str] = COLUMNS) -> str:
    with pytest.raises(InputError) as error:
        compile_rules([UserRule("mine", keep)], columns)
    (problem,) = error.value.problems
    assert problem.where == "data.user_rules.mine"
    return f"{problem.message}. {problem.next_step}"


@pytest.mark.parametrize(
    ("keep", "rows"),
    [
        ("LENGTH(text) < 10", [12, 14]),
        ("lang IN ('zh','en')", [14]),
        ("lang NOT IN ('en')", [11, 14]),
        ("text NOT LIKE '%http%'", [12, 14]),
        ("REGEXP_LIKE(text, '[一-龥]{2,}')", [11, 12, 14]),
        ("text RLIKE '^S' OR REGEXP_LIKE(text, '^S', 'i')", [12, 13, 14]),
        ("CAST(stars AS INT) BETWEEN 1 AND 5", [12, 13, 14]),
        ("stars IS NULL OR CAST(stars AS DOUBLE) / 2 > 1.5", [11, 13]),
        ("评分 >= '4'", [12, 14]),
        ("text NOT LIKE '%{999}%'", [14]),
        ("\"评分\" = '5'", [12, 13, 14]),
        ("order = 'x'", [12, 13, 14]),
        ("`the text` = 'it''s'", [12, 13, 14]),
        ("LENGTH(text) - LENGTH(REPLACE(text, 'o', '')) = 1", [12, 13, 14]),
        ("CASE WHEN lang = 'zh' THEN LENGTH(text) > 9 ELSE LENGTH(text) > 3 END", [13, 14]),
        ("COALESCE(lang, 'zh') = 'zh'", [11]),
        ("NOT (lang == 'zh' AND LEFT(text, 1) = '这')", [13, 14]),
        ("MOD(CAST(stars AS INT), 2) = 1", [13, 14]),
        ("NORMALIZE(text, NFKC) || lang <> ''", [14]),
        ("-CAST(stars AS INT) < -3", [11, 13, 14]),
    ],
)
def test_rows_not_kept(keep: str, rows: list[int]) -> None:
    assert not_kept(keep) == rows


def test_the_first_rule_that_breaks_is_named_with_what_the_row_has() -> None:
    rules = [UserRule("short", "LENGTH(text) < 10"), UserRule("zh_only", "lang = 'zh'")]
    compiled = compile_rules(rules, COLUMNS)
    assert [one.columns for one in compiled] == [["text"], ["lang"]]
    assert first_broken(FRAME, compiled).rows() == [
        ("zh_only", "not true: lang = 'zh'; lang is 'en'"),
        ("short", "not true: LENGTH(text) < 10; text is '看 http://a.example'"),
        (None, None),
        ("short", "not true: LENGTH(text) < 10; text is empty"),
    ]


def test_the_evidence_is_short() -> None:
    frame = pl.DataFrame({"a": ["x\n" * 500], "b": ["1"]})
    (evidence,) = first_broken(frame, compile_rules([UserRule("r", "a = b")], ["a", "b"]))["evidence"]
    assert evidence == "not true: a = b; a is '" + "x " * 20 + "…', b is '1'"


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        # what pl.sql_expr reads, and what is no rule of one row or has no bound
        ("COUNT(*) > 3", "aggregates"),
        ("SUM(CAST(stars AS INT)) > 3", "aggregates"),
        ("MIN(text) = 'a'", "LEAST"),
        ("FIRST(text) = 'a'", "not a function"),
        ("text = 'a' OVER (ORDER BY text)", "OVER"),
        ("ROW_NUMBER() OVER (ORDER BY text) = 1", "not a function"),
        ("UNNEST(text) = 'a'", "not a function"),
        ("LPAD(text, 1000000000, 'x') = 'a'", "not a function"),
        ("REPEAT(text, 9) = 'a'", "not a function"),
        ("COLUMNS('.*') = 'a'", "not a function"),
        ("text IN (SELECT text FROM x)", "subqueries"),
        ("EXISTS (SELECT 1)", "not a function"),
        ("read_csv('/etc/passwd') = text", "not a function"),
        ("RANDOM() < 0.5", "not a function"),
        ("NOW() > text", "not a function"),
        ("text.a = '1'", "name of the column alone"),
        ("stars::int > 3", "CAST(column AS INT)"),
        ("text ~ 'a'", "REGEXP_LIKE"),
        ("text = $$a$$", "not read"),
        ("COALESCE(*, text) = 'a'", "does not stand for all columns"),
        ("* = text", "does not stand for all columns"),
        ("REGEXP_LIKE(text, lang)", "written out"),
        ("text LIKE lang", "written out"),
        ("LEFT(text, LENGTH(lang)) = ''", "written out"),
        ("REPLACE(text, 'a', 'aa') = 'a'", "longer"),
        ("REPLACE(text, '', 'b') = 'a'", "longer"),
        ("REPLACE(text, 'ab', '中') = 'a'", "longer"),
        ("REGEXP_LIKE(text, '(a{1,1000}){1,1000}')", "1000000 states"),
        ("text RLIKE 'a{501}'", "501 states"),
        ("text RLIKE 'a{300}' OR REGEXP_LIKE(text, '[^b]{30}')", "600 states"),
        ("text RLIKE 'a{ 501 }'", "501 states"),
        ("text LIKE '%" + "_" * 60 + "'", "states, the most is 500"),
        (" || ".join(["text"] * 22) + " = 'a'", "join 21 texts, the most is 20"),
        ("CONCAT(" + ", ".join(["text"] * 21) + ") = 'a'", "join 21 texts"),
        ("text IN (lang, 'b')", "list of values"),
        ("text IN ()", "list of values"),
        ("CASE lang WHEN 'zh' THEN TRUE END", "CASE WHEN"),
        # what is no expression of ours
        ("lenght(text) > 1", "did you mean LENGTH"),
        ("langg = 'zh'", "did you mean lang"),
        ("评 = 'zh'", "did you mean 评分"),
        ("missing = 'zh'", "columns here: text"),
        ('lang = "zh"', "single quotes: 'zh'"),
        ("text = 'a", "close the text"),
        ("CAST(stars AS DATE) > '2020'", "not a type"),
        ("text > 'a' AS b", "not a type"),
        ("text = 'a' lang", "operator is missing"),
        ("LENGTH(text)", "gives UInt32"),
        ("text", "gives String"),
        ("stars > 3", "CAST(column AS INT)"),
        ("text AND lang", "cannot be evaluated"),
        ("TRUE", "names no column"),
        ("1 < 2", "names no column"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("text = 'a' AND", "cannot be read"),
        ("text, lang", "cannot be read"),
        ("LENGTH(text", "not closed"),
        ("REPLACE(text, 'a') = ''", "cannot be read"),
        ("CAST(text AS INT", "not closed"),
        ("LENGTH(text IN", "not closed"),
        ("text = 'a' -- b", "behind a #"),
        ("text = 'a' /* b */", "behind a #"),
        ("text = 'a';", "one expression"),
        ("REGEXP_LIKE(text, '(')", "unclosed group"),
        ("REGEXP_LIKE(text, 'a(?=b)')", "look-around"),
        ("(" * 30 + "text = 'a'" + ")" * 30, "deeper than 20"),
        ("text = '" + "a" * 2000 + "'", "the most is 2000"),
        ("NOT " * 100 + "text = 'a'", "cannot be read"),
    ],
)
def test_refused(keep: str, said: str) -> None:
    assert said in refusal(keep)


def test_a_column_named_as_a_function_is_no_function() -> None:
    columns = [*COLUMNS, "COUNT", "left", 'a"b']
    frame = FRAME.with_columns(pl.lit("c").alias("COUNT"), pl.lit("c").alias("left"), pl.lit("c").alias('a"b'))
    rule = compile_rules([UserRule("r", "COUNT = 'c' AND LEFT(left, 1) = 'c' AND \"a\"\"b\" = 'c'")], columns)
    assert first_broken(frame, rule)["rule"].null_count() == 4
    assert "aggregates" in refusal("COUNT(text) > 1", columns)
    assert "aggregates" in refusal('"COUNT"(text) > 1', columns)


def test_what_polars_copies_is_bounded() -> None:
    """Polars 2.1 plans 16 of these in fifteen seconds and doubles with each more."""
    keep = "LENGTH(text) > 1"
    for _ in range(6):
        keep = f"({keep}) BETWEEN FALSE AND TRUE"
    assert not_kept(keep) == [14]
    assert "7 times, the most is 6" in refusal(f"({keep}) BETWEEN FALSE AND TRUE")
    assert not_kept(" OR ".join(f"LEFT(text, {n}) = 'a' OR stars BETWEEN '1' AND '2'" for n in range(1, 9))) == [
        11,
        12,
        13,
        14,
    ]


@pytest.mark.parametrize(
    "around",
    ["({}) || text BETWEEN 'a' AND 'b'", "({}) IS NULL BETWEEN FALSE AND TRUE", "({}) = TRUE BETWEEN FALSE AND TRUE"],
)
def test_an_operand_that_ends_in_a_column_or_a_word_is_copied_as_well(around: str) -> None:
    keep = "text = 'a'"
    for _ in range(7):
        keep = around.format(keep)
    assert "7 times, the most is 6" in refusal(keep)


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ("CAST(n AS DOUBLE) > 0.5", ["3.0", " 3 ", "3.7", "4", "9007199254740993", "1e3"]),
        ("CAST(n AS INT) BETWEEN 1 AND 5", ["3.0", " 3 ", "4"]),
        ("TRY_CAST(n AS INTEGER) > 999", ["9007199254740993", "1e3"]),
        ("CAST(n AS INT) = 9007199254740993", ["9007199254740993"]),
        ("CAST(CAST(n AS INT) AS TEXT) = '3'", ["3.0", " 3 "]),
        ("n NOT BETWEEN '3' AND '4'", ["nan", "inf", "-inf", " 3 ", "9007199254740993", "x", "", "1e3"]),
    ],
)
def test_what_is_a_number(keep: str, kept: list[str]) -> None:
    numbers = ["nan", "inf", "-inf", "3.0", " 3 ", "3.7", "4", "9007199254740993", "x", "", None, "1e3"]
    frame = pl.DataFrame({"n": numbers}, schema={"n": pl.String})
    found = first_broken(frame, compile_rules([UserRule("r", keep)], ["n"]))
    assert frame["n"].filter(found["rule"].is_null()).to_list() == kept


@pytest.mark.parametrize("page", ["data.md", "data.zh-CN.md"])
def test_the_page_lists_the_functions(page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    part = text[text.index("user_rules:") :]
    assert {name for name in FUNCTIONS if f"`{name}`" not in part} == set()


@pytest.mark.parametrize(
    ("pattern", "states"),
    [
        ("abc", 3),
        (r"\d{3}-\d{4}", 71),
        ("(ab|c){2,10}", 30),
        ("[a-z]{5,}", 5),
        (r"\p{Han}{2}x", 21),
        ("((a{3}){3}){3}", 27),
        (r"[\]}]{4}", 4),
        ("a+b*", 2),
        ("{9}", 0),
        ("a{99999999}", 999999),
    ],
)
def test_states_by_hand(pattern: str, states: int) -> None:
    assert regex_states(pattern) == states


def test_all_problems_at_once() -> None:
    rules = [
        UserRule("ok", "LENGTH(text) > 1"),
        UserRule("ok", "LENGTH(text) > 2"),
        UserRule("text_empty", "text <> ''"),
        UserRule("a-b", "text <> ''"),
        UserRule("规则1", "text <> ''"),
        UserRule("bad", "txt <> ''"),
        UserRule("", "text = ''"),
    ]
    with pytest.raises(InputError) as error:
        compile_rules(rules, COLUMNS, built_in=["text_empty"])
    said = [problem.message for problem in error.value.problems]
    assert len(said) == 5
    assert "'ok' is taken" in said[0]
    assert "'text_empty' is taken" in said[1]
    assert "'a-b' must be a letter or digit" in said[2]
    assert "'txt' is not a column" in said[3]
    with pytest.raises(InputError, match="the most is 100"):
        compile_rules([UserRule(f"r{n}", "text = ''") for n in range(MAX_RULES + 1)], COLUMNS)
