import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

import modelyard.reporting
from modelyard.artifacts.reports import LIBRARIES
from modelyard.compression.choose import (  # what the sentences must go on matching
    Facts,
    Reason,
    _ranked_behind,
    no_better,
)
from modelyard.data.rules import RULES
from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.evidence.judge import judge
from modelyard.reporting.words import both, chinese_of, has, read_sentences, read_words, sentence, svg_words, words
from modelyard.training.batches import Rows
from modelyard.training.memory import usual_or_not

HERE = Path(modelyard.reporting.__file__).parent
TRAINING = HERE.parent / "training"
DERIVED = (
    *("max_length_tokens", "epochs", "tokens_per_batch", "evaluations_per_epoch", "learning_rate"),
    "tokens_per_forward",
)
HEADLINES = (
    "accuracy on validation 7%, 95% interval 7% to 7% (n=7)",
    "accuracy on validation 7%, 95% interval 7% to 7% (n=7); macro-F1 7%, 7% to 7%",
    "exact match on validation 7%, 95% interval 7% to 7% (n=7); macro-F1 7%, 7% to 7%",
    "perplexity on validation 7, 95% interval 7 to 7 (n=7); of the base model 7",
    "perplexity on validation 7, 95% interval 7 to 7 (n=7); of the tokens' frequencies 7",
)
HAN = re.compile(r"[\u4e00-\u9fff]")
HALF_WIDTH = re.compile(r"[\u4e00-\u9fff][,;:?!()]|[,;:?!()][\u4e00-\u9fff]")
SAME = {"column.n"}  # needs no Chinese


def slots(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name)


def test_every_key_has_both_languages_with_the_same_values() -> None:
    table = read_words()
    assert len(table) > 200
    for key, entry in table.items():
        assert set(entry) == {"en", "zh"}, key
        assert entry["en"].strip() and entry["zh"].strip(), key
        assert slots(entry["en"]) == slots(entry["zh"]), key
        assert not HAN.search(entry["en"]), key
        fixed = re.sub(r"\{\w+\}", "", entry["zh"])
        assert HAN.search(fixed) or key in SAME or not re.search("[A-Za-z]{3}", fixed), key
        assert not HALF_WIDTH.search(entry["zh"]), key


def test_every_sentence_has_both_languages_with_the_same_values() -> None:
    table = read_sentences()
    assert len(table) > 70
    for entry in table:
        assert set(entry) == {"en", "zh"}
        assert slots(entry["en"]) == slots(entry["zh"]), entry["en"]
        assert HAN.search(entry["zh"]) or "：" in entry["zh"], entry["zh"]
        assert not HALF_WIDTH.search(entry["zh"]), entry["zh"]
    assert len({entry["en"] for entry in table}) == len(table)


def test_every_key_that_is_used_is_there_and_none_is_left_over() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in HERE.rglob("*") if path.suffix in (".py", ".jinja"))
    table = read_words()
    named = set(re.findall(r'\b(?:t|words|svg_words|one)\(\s*"([a-z_.A-Z]+)"', source))
    prefixes = set(re.findall(r'["\']([a-z_]+(?:\.[a-z]+)*\.)["{]', source))  # "title." ~ name, f"limit.{bound}"
    assert len(named) > 100 and named - prefixes <= set(table), named - set(table)
    quoted = set(re.findall(r'"([a-z_]+(?:\.[a-zA-Z_]+)+)"', source))
    unused = {key for key in table if key not in named | quoted and not any(key.startswith(one) for one in prefixes)}
    assert not unused


def test_words_in_both_languages() -> None:
    assert words("cut.more", hidden="<3>") == (
        '<span class="en" lang="en">&lt;3&gt; more are left out.</span>'
        '<span class="zh" lang="zh-CN">另有 &lt;3&gt; 项未显示。</span>'
    )
    assert (
        svg_words("chart.step") == '<tspan class="en" lang="en">step</tspan><tspan class="zh" lang="zh-CN">步</tspan>'
    )
    assert both(en="5%", zh="5%") == "5%"
    assert not has("rule.of_my_own")


def test_a_sentence_nobody_knows_stays_as_it_is() -> None:
    assert sentence("a <b> of my own") == '<span lang="en">a &lt;b&gt; of my own</span>'
    assert chinese_of("x" * 5_000) is None


def test_sentences_keep_their_values_and_the_sentences_inside_them() -> None:
    assert chinese_of("slower than int8 (2.56 times as fast as fp32, int8 2.93)") == (
        "比 int8 慢（速度为 fp32 的 2.56 倍，int8 为 2.93 倍）"
    )
    assert chinese_of("fp32 was not chosen: slower than int8") == "未选中 fp32：比 int8 慢"
    assert chinese_of("slower than {0} <script>") == "比 {0} <script> 慢"


def test_the_chinese_of_every_next_step_of_a_data_rule() -> None:
    steps = [rule.next_step for rule in RULES if rule.next_step]
    assert len(steps) >= 13
    assert [step for step in steps if chinese_of(step) is None] == []
    assert [rule.name for rule in RULES if not has(f"rule.{rule.name}")] == []


@pytest.mark.parametrize("method", ["tango", "order-statistics", "range"])
@pytest.mark.parametrize("needed", [None, 50, 500])
@pytest.mark.parametrize("estimate", [0.2, 0.5, 0.9])
def test_the_chinese_of_every_next_step_of_judge(method: str, needed: int | None, estimate: float) -> None:
    found = Interval(low=0.1, estimate=estimate, high=0.95, n=100, unit="fraction", method=method)
    for limit in (at_most(0.05), at_most(0.6), at_least(0.6)):
        verdict = judge(found, limit, rule="r", samples_needed=needed)
        assert verdict.next_step and chinese_of(verdict.next_step), verdict.next_step


def test_the_chinese_of_why_a_candidate_was_not_chosen() -> None:
    slow = Facts(100, Interval(low=0.9, estimate=1.1, high=1.3, n=9, unit="ratio", method="order-statistics"), 100, ())
    reasons = [no_better(goal, slow, slow) for goal in ("fastest", "smallest", "cheapest")]
    reasons += [_ranked_behind(goal, "a", "b", {"a": slow, "b": slow}) for goal in ("fastest", "smallest", "cheapest")]
    said = [str(reason) for reason in reasons if reason] + [str(Reason("slower than b"))]
    assert len(said) == 7
    assert [text for text in said if chinese_of(text) is None] == []


def said(node: ast.expr | None, names: dict[str, ast.expr]) -> str:
    """A string of the code with 7 for what is filled in; empty for what is no string."""
    if isinstance(node, ast.Name):
        return said(names.get(node.id), {})
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def assigned(tree: ast.Module) -> dict[str, ast.expr]:
    """What is assigned to the names of a module."""
    return {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def code_of_training() -> Iterator[tuple[ast.AST, dict[str, ast.expr]]]:
    """Every node of the code of a training, with what is assigned to the names of its module."""
    for path in TRAINING.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = assigned(tree)
        yield from ((node, names) for node in ast.walk(tree))


def calls_of_training(*functions: str) -> Iterator[tuple[ast.Call, dict[str, ast.expr]]]:
    for node, names in code_of_training():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
            yield node, names


def test_the_chinese_of_every_reason_of_a_setting_is_the_same_behind_its_name() -> None:
    reasons = {said(call.args[1], names) for call, names in calls_of_training("Derived")} - {""}
    assert len(reasons) >= 12
    for reason in reasons:
        chinese = chinese_of(reason)
        assert chinese is not None, reason
        for name in DERIVED:
            assert chinese_of(f"{name} 7: {reason}") == f"{name} 7：{chinese}", reason


def test_the_chinese_of_every_reason_of_a_precision() -> None:
    tree = ast.parse((TRAINING / "precision.py").read_text(encoding="utf-8"))
    returned = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)]
    values = [value.elts[1] if isinstance(value, ast.Tuple) else value for value in returned]
    reasons = {reason for value in values if " " in (reason := said(value, assigned(tree)))}
    assert len(reasons) >= 5
    assert "; 7 is left out: 7" in {said(node, {}) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)}
    for reason in [*reasons, *(f"{reason}; bf16 is left out: 7" for reason in reasons)]:
        chinese = chinese_of(reason)
        assert chinese is not None, reason
        assert chinese_of(f"precision fp32: {reason}") == f"精度 fp32：{chinese}", reason


def test_the_chinese_of_every_next_step_of_a_training() -> None:
    steps = {
        said(argument.value, names)
        for call, names in calls_of_training("judge", "_judged")
        for argument in call.keywords
        if argument.arg == "next_step"
    } - {""}
    assert len(steps) >= 6
    assert [step for step in steps if chinese_of(step) is None] == []


def test_the_chinese_of_every_note_of_a_training() -> None:
    notes = set()
    for node, _ in code_of_training():
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "note":
            notes.add(said(node.value, {}))
    for function in ast.parse((TRAINING / "train.py").read_text(encoding="utf-8")).body:
        if isinstance(function, ast.FunctionDef) and function.returns and ast.unparse(function.returns) == "list[str]":
            notes |= {said(node, {}) for node in ast.walk(function) if isinstance(node, ast.JoinedStr)}
    # no part of a note, and not those of settings, which stand above
    whole = {note for note in notes if len(note.split()) > 3 and not note.startswith(";")}
    kept = "the weights are those of step 7 of 7, with the lowest validation loss"  # and that it stopped early, or not
    whole.remove(f"{kept}7")
    whole |= {kept, f"{kept}; stopped early after 7 evaluations without a lower loss"}
    assert len(whole) >= 6
    assert [note for note in whole if chinese_of(note) is None] == []


def test_the_chinese_of_what_a_training_came_to() -> None:
    begun = {
        said(node.value, {})[:20]
        for node, _ in code_of_training()
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "headline"
    }
    assert {text for text in begun if not text.startswith("7")} == {headline[:20] for headline in HEADLINES}
    assert [headline for headline in HEADLINES if chinese_of(headline) is None] == []


def test_the_chinese_of_every_difference_of_a_checkpoint_and_of_several_in_one_note() -> None:
    tree = ast.parse((TRAINING / "checkpoint_state.py").read_text(encoding="utf-8"))
    (function,) = (node for node in ast.walk(tree) if getattr(node, "name", "") == "differences")
    written = {
        node.value if isinstance(node, ast.Constant) else said(node, {})
        for node in ast.walk(function)
        if isinstance(node, ast.Constant | ast.JoinedStr)
    }
    told = sorted(text for text in written if isinstance(text, str) and re.search(r"\w, now \w", text))
    names = ("python", *LIBRARIES, "processor", "device")
    told = [text.replace("7 7, now 7", f"{name} 7, now 7") for text in told for name in names]
    assert len(set(told)) == len(names) + 5
    for text in told:
        chinese = chinese_of(text)
        assert chinese is not None, text
        for other in (text, "2 threads, now 1"):
            note = f"went on after step 7 elsewhere than it began ({text}; {other}): the same rows"
            assert chinese_of(note) == (f"第 7 步之后换了环境继续训练（{chinese}；{chinese_of(other)}）：行仍相同")


def test_a_note_is_not_garbled() -> None:
    assert chinese_of(
        "learning_rate 0.0001: 0.0001 at 32 rows for 135.0M weights (Touvron et al. 2023), times the square root of "
        "32.0 rows a step over 32 (Malladi et al. 2022)"
    ) == (
        "learning_rate 0.0001：0.0001（135.0M 个权重、32 行时的值，Touvron et al. 2023），再乘以每步 32.0 行与 32 行"
        "之比的平方根（Malladi et al. 2022）"
    )


@pytest.mark.parametrize(("batch", "forward"), [(2_880, 320), (320, 310), (100, 8_192)])
def test_the_chinese_of_what_makes_forward_passes_usual(batch: int, forward: int) -> None:
    (note,) = usual_or_not(batch, forward, Rows([[1] * 10] * 5_000, [""] * 5_000), 1)
    told = chinese_of(note)
    assert told is not None and set(re.findall("[a-z_.]{2,}", told)) <= {"train.tokens_per_batch"}
