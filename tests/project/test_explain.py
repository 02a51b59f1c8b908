"""What is wrong with the settings in plain words: the value, what it must be, one problem per place."""

import pytest

from modelyard.errors import InputError
from modelyard.project.explain import known_keys
from modelyard.project.load import parse_settings

MINIMAL = "schema: 1\nproject: reviews\ndata: {train: a.csv}\nmodel: {base: models/minilm}\n"
BUDGET = "data.rules.empty.budget"


def problems(text: str) -> list[str]:
    with pytest.raises(InputError) as found:
        parse_settings(text)
    return [str(problem).removeprefix("modelyard.yaml:").partition(": ")[2] for problem in found.value.problems]


def rules(content: str) -> str:
    return MINIMAL.replace("{train: a.csv}", f"{{train: a.csv, rules: {{empty: {content}}}}}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: {epochs: 1.5}", "train.epochs is 1.5; it must be a whole number"),
        ("train: {epochs: true}", "train.epochs is true; it must be a whole number"),
        ("train: {seed: null}", "train.seed is null; it must be a whole number"),
        ("train: {epochs: 0}", "train.epochs is 0; it must be at least 1"),
        ("train: {epochs: 1001}", "train.epochs is 1001; it must be at most 1000"),
        ("train: {learning_rate: .inf}", "train.learning_rate is Infinity; it must be a finite number"),
        ("train: {learning_rate: 1}", "train.learning_rate is 1; it must be below 1"),
        ("train: {precision: int8}", "train.precision is \"int8\"; it must be 'auto', 'fp32', 'bf16' or 'fp16'"),
        ("gates: {drop_max: '0.1'}", 'gates.drop_max is "0.1"; it must be a number'),
        ("gates: {drop_max: 0}", "gates.drop_max is 0; it must be above 0"),
        ("gates: {compressed: yes}", "gates.compressed is \"yes\"; it must be 'optional' or 'required'"),
        ("gates: {waivers: {a: b}}", 'gates.waivers is {"a": "b"}; it must be a list: [a, b]'),
        ("compress: 3", "compress is 3; it must hold keys of its own. Next: known here: goal"),
        ("compress: {gaol: fastest}", "compress.gaol is not a setting. Next: did you mean goal"),
        ("compress: {x: 1}", "compress.x is not a setting. Next: known here: goal"),
        ("release: {trusted_keys: [1]}", "release.trusted_keys.0 is 1; it must be text"),
    ],
)
def test_one_sentence_per_problem(text: str, said: str) -> None:
    found = problems(f"{MINIMAL}{text}\n")
    assert len(found) == 1
    assert found[0].startswith(said)


def test_a_text_or_a_list_is_one_problem() -> None:
    assert problems(MINIMAL.replace("a.csv", "3")) == [
        "data.train is 3; it must be text or a list: [a, b]. Next: change it, see `modelyard schema`."
    ]
    assert problems(MINIMAL.replace("a.csv", "[1, a.csv, null]")) == [
        "data.train.0 is 1; it must be text. Next: change it, see `modelyard schema`.",
        "data.train.2 is null; it must be text. Next: change it, see `modelyard schema`.",
    ]


def test_below_a_name_of_ones_own_the_keys_are_known() -> None:
    assert problems(rules("{budgit: 3}")) == ["data.rules.empty.budgit is not a setting. Next: did you mean budget."]
    assert problems(rules("{budget: -1}"))[0].startswith(f"{BUDGET} is -1; it must be at least 0")
    assert problems(rules("3"))[0] == (
        "data.rules.empty is 3; it must hold keys of its own. Next: known here: budget, severity, minimum."
    )
    assert known_keys(("gates", "waivers", 0)) == ["rule", "scope", "by", "on", "reason"]
    assert known_keys(("train", "epochs")) == [] and known_keys(("nowhere", "x")) == []


def test_off_is_a_word_and_1e_5_a_number_as_in_yaml_1_2() -> None:
    rule = parse_settings(rules("{severity: off}")).data.rules["empty"]
    assert rule.severity == "off"
    for written in ("1e-5", "1.0e-5", "0.00001"):
        assert parse_settings(f"{MINIMAL}train: {{learning_rate: {written}}}\n").train.learning_rate == 1e-5
    assert problems(f"{MINIMAL}train: {{learning_rate: '1e-5'}}\n")[0].startswith('train.learning_rate is "1e-5"; it')


def test_a_value_that_yaml_cannot_read_is_said_once_and_hides_nothing() -> None:
    waiver = "{rule: a, by: Li, on: 2026-13-01, reason: ''}"
    assert [message.partition(";")[0] for message in problems(f"{MINIMAL}gates: {{waivers: [{waiver}]}}\n")] == [
        "'2026-13-01' is not a value that is read here: month must be in 1..12. Next: mend it.",
        'gates.waivers.0.reason is ""',
    ]
    assert "it must be a day" in problems(f"{MINIMAL}gates: {{waivers: [{waiver.replace('2026-13-01', 'soon')}]}}\n")[0]


def test_a_key_that_is_a_list() -> None:
    assert problems(MINIMAL + "[a]: 1\n") == ["a list or a mapping stands where a key is expected. Next: write a name."]


def test_a_long_value_is_cut() -> None:
    found = problems(MINIMAL.replace("reviews", "x" * 500))
    assert len(found[0]) < 300 and "..." in found[0]


def test_problems_come_in_the_order_of_the_file() -> None:
    with pytest.raises(InputError) as found:
        parse_settings("zzz: 1\nproject: a b\ndata: {}\nmodel: {base: x, base: y}\n")
    assert [problem.where for problem in found.value.problems] == [f"modelyard.yaml:{line}" for line in (1, 1, 2, 3, 4)]
