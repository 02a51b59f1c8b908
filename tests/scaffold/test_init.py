import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from modelyard.artifacts.keys import load_private_key, load_public_key, new_key_pair
from modelyard.data.rules import chosen_rules
from modelyard.errors import InputError, MissingDependency
from modelyard.pipeline.stages import read_stages
from modelyard.project.load import FILE_NAME, load_project
from modelyard.scaffold import init as init_module
from modelyard.scaffold.guess import Guess, Head
from modelyard.scaffold.head import read_head
from modelyard.scaffold.init import (
    Base,
    Fields,
    as_flow,
    as_scalar,
    check_target,
    choose_base,
    choose_fields,
    choose_language_fields,
    create_project,
    looks_like_language,
)

HEAD = Head(
    ["body", "queue", "site", "customer"],
    [
        {"body": f"a text {number}", "queue": "ab"[number % 2], "site": "xy"[number % 2], "customer": str(number)}
        for number in range(20)
    ],
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("body,queue\na text,a\n")
    return path


def fields(text: str = "body", label: str = "queue", **changes: object) -> Fields:
    values = {"slices": [], "group": None, "slice_candidates": [], **changes}
    roles = {"text": Guess(text, "named by you"), "label": Guess(label, "named by you")}
    return Fields(roles, **values)  # type: ignore[arg-type]


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_project_is_whole(tmp_path: Path, data: Path, tiny_base: Path) -> None:
    told: list[str] = []
    create_project(
        tmp_path / "mine", data, fields(), Base(tiny_base, "tiny", "because"), lambda what, *_: told.append(what)
    )
    project = load_project(tmp_path / "mine")
    assert project.settings.data.train == "data/rows.csv"
    assert (project.settings.data.fields.text, project.settings.data.fields.label) == ("body", "queue")
    assert project.settings.model.base == "models/tiny"
    assert (project.folder / "data" / "rows.csv").read_bytes() == data.read_bytes()
    weights = "models/tiny/model.safetensors"
    assert (project.folder / weights).read_bytes() == (tiny_base / "model.safetensors").read_bytes()
    assert told[0] == "init, copy the data" and len(told) == 6
    public = load_public_key(project.folder / "keys" / "team.pub")
    assert load_private_key(project.folder / "keys" / "private.pem", {}).public_key() == public


def test_the_examples_in_the_comments_are_valid(tmp_path: Path, data: Path, tiny_base: Path) -> None:
    create_project(tmp_path / "mine", data, fields(), Base(tiny_base, "tiny", "because"))
    path = tmp_path / "mine" / FILE_NAME
    text = path.read_text()
    rules, waiver = re.findall(r"#.*?(\{\w+: .*\})", text)
    path.write_text(text.replace("rules: {}", f"rules: {rules}").replace("waivers: []", f"waivers: [{waiver}]"))
    settings = load_project(tmp_path / "mine").settings
    assert chosen_rules(settings.data.rules)["duplicate_exact"].budget == 0.2
    assert settings.gates.waivers[0].rule == "drop_max"


def test_git_holds_the_settings_and_not_the_secret(tmp_path: Path, data: Path, tiny_base: Path) -> None:
    create_project(tmp_path / "mine", data, fields(), Base(tiny_base, "tiny", "because"))
    folder = tmp_path / "mine"
    assert git(folder, "status", "--porcelain") == ""
    assert set(git(folder, "ls-files").split()) == {
        *(".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitignore", "README.md", "data.dvc", "dvc.yaml"),
        *("keys/team.pub", "models.dvc", "modelyard.yaml"),
    }
    (folder / "reports").mkdir()
    (folder / "reports" / "check.json").touch()
    (folder / "reports" / "check.run.json").touch()
    (folder / "reports" / "train.answers.jsonl").touch()
    assert git(folder, "status", "--porcelain", "--untracked-files=all") == "?? reports/check.json\n"


def test_git_adds_no_secret_wherever_its_key_was_made(tmp_path: Path, data: Path, tiny_base: Path) -> None:
    create_project(tmp_path / "mine", data, fields(), Base(tiny_base, "tiny", "because"))
    for directory in ("spare-keys", "teams/east/keys", "."):
        new_key_pair(tmp_path / "mine" / directory)
    added = git(tmp_path / "mine", "add", "--dry-run", ".").splitlines()
    assert added == ["add 'spare-keys/team.pub'", "add 'team.pub'", "add 'teams/east/keys/team.pub'"]


def test_telemetry_of_dvc_is_off_in_the_project_too(tmp_path: Path, data: Path, tiny_base: Path) -> None:
    create_project(tmp_path / "mine", data, fields(), Base(tiny_base, "tiny", "because"))
    assert "analytics = false" in (tmp_path / "mine" / ".dvc" / "config").read_text()


def test_an_identity_is_passed_where_none_is_set(
    tmp_path: Path, data: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    if subprocess.run(["git", "config", "user.email"], cwd=tmp_path, capture_output=True).returncode == 0:
        pytest.skip("this machine has a system-wide identity")
    create_project(tmp_path / "mine", data, fields(), Base(tiny_base, "tiny", "because"))
    assert git(tmp_path / "mine", "log", "--format=%an <%ae> %s") == "Modelyard <modelyard@localhost> Start mine\n"


def test_inside_an_ignored_folder_of_another_repository(tmp_path: Path, data: Path, tiny_base: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".gitignore").write_text(".work/\n")
    (tmp_path / ".work").mkdir()
    create_project(tmp_path / ".work" / "mine", data, fields(), Base(tiny_base, "tiny", "because"))
    top = git(tmp_path / ".work" / "mine", "rev-parse", "--show-toplevel").strip()
    assert Path(top) == tmp_path / ".work" / "mine"


def test_a_failure_leaves_nothing(tmp_path: Path, data: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_module.sys, "executable", "/bin/false")
    with pytest.raises(InputError, match="failed: exit status 1"):
        create_project(tmp_path / "mine", data, fields(), Base(tiny_base, "tiny", "because"))
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_words_that_yaml_would_take_for_something_else(tmp_path: Path, data: Path, tiny_base: Path) -> None:
    odd = fields("text: #1", "true", slices=["a, b", "yes", "]x", '"q"'], group="two\nlines")
    roles = odd.roles | {"label": Guess("true", "by its name:\n- x")}
    odd = Fields(roles, odd.slices, odd.group, ["# hash\nx: y"])
    create_project(tmp_path / "评论-1", data, odd, Base(tiny_base, "1.0", "why:\nnot"))
    settings = load_project(tmp_path / "评论-1").settings
    assert settings.project == "评论-1"
    assert (settings.data.fields.text, settings.data.fields.label) == ("text: #1", "true")
    assert settings.data.slices == ["a, b", "yes", "]x", '"q"']
    assert settings.data.group == "two\nlines"
    assert settings.model.base == "models/1.0"


@pytest.mark.parametrize("value", ["plain", "1", "null", "a: b", "# x", "", "- x", "a\nb", "'", "好", "x" * 300, "1e3"])
def test_scalars_come_back_as_they_were(value: str) -> None:
    assert yaml.safe_load(f"key: {as_scalar(value)}") == {"key": value}
    assert yaml.safe_load(f"key: {as_flow([value, value])}") == {"key": [value, value]}


def test_null_stays_null() -> None:
    assert as_scalar(None) == "null"


def test_fields_that_were_named() -> None:
    found = choose_fields(HEAD, text="body", label="site", slices=["queue"], group="customer")
    assert (found.text, found.roles["label"].column, found.slices, found.group) == (
        "body",
        "site",
        ["queue"],
        "customer",
    )


def test_fields_that_are_guessed() -> None:
    found = choose_fields(HEAD, text=None, label=None, slices=[], group=None)
    assert (found.text, found.roles["label"].column) == ("body", "queue")
    assert found.slice_candidates == ["site"]


CHATS = Head(["id", "conversations"], [{"id": "1", "conversations": "[]"}])
ALPACA = Head(["instruction", "input", "output", "source"], [{"instruction": "a", "input": "", "output": "b"}])


def test_what_language_models_learn_is_seen_from_the_columns() -> None:
    assert looks_like_language(CHATS)
    assert looks_like_language(ALPACA)
    assert not looks_like_language(HEAD)
    assert not looks_like_language(Head([*ALPACA.columns, "Label"], []))  # a classifier of answers
    assert not looks_like_language(Head(["x"], []))
    found = choose_language_fields(ALPACA, {}, slices=["source"], group=None)
    assert {role: guess.column for role, guess in found.roles.items()} == {
        "prompt": "instruction",
        "input": "input",
        "completion": "output",
    }
    assert found.task == "causal_lm"
    named = choose_language_fields(HEAD, {"text": "body"}, slices=[], group="customer")
    assert {role: guess.column for role, guess in named.roles.items()} == {"text": "body"}


def test_columns_that_no_language_model_learns_from() -> None:
    with pytest.raises(InputError, match="no shape of rows"):
        choose_language_fields(Head(["x", "y"], []), {}, slices=[], group=None)
    with pytest.raises(InputError, match="checked, not trained on"):
        choose_language_fields(Head(["chosen", "rejected"], []), {}, slices=[], group=None)
    with pytest.raises(InputError, match="no column 'bdy'"):
        choose_language_fields(HEAD, {"text": "bdy"}, slices=[], group=None)


def test_a_project_of_a_language_model(tmp_path: Path, tiny_decoder: Path) -> None:
    rows = tmp_path / "chats.jsonl"
    rows.write_text('{"conversations": []}\n')
    found = choose_language_fields(CHATS, {}, slices=[], group=None)
    create_project(tmp_path / "tutor", rows, found, Base(tiny_decoder, "tiny", "because"))
    project = load_project(tmp_path / "tutor")
    assert (project.settings.task, project.settings.data.fields.messages) == ("causal_lm", "conversations")
    assert list(read_stages(project)) == ["check", "train"]
    assert "predict" not in (tmp_path / "tutor/README.md").read_text()


def test_a_project_of_a_folder_holds_what_is_read_of_it(tmp_path: Path, tiny_decoder: Path) -> None:
    for name in ("1.txt", "a/2.txt", "a/notes.md", ".git/3.txt"):
        (tmp_path / "novels" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "novels" / name).write_text(f"The text of {name}.")
    head = read_head(tmp_path / "novels")
    assert head.rows == [{"text": "The text of 1.txt."}] and looks_like_language(head)
    found = choose_language_fields(head, {}, slices=[], group=None)
    create_project(tmp_path / "writer", tmp_path / "novels", found, Base(tiny_decoder, "tiny", "because"))
    project = load_project(tmp_path / "writer")
    assert (project.settings.task, project.settings.data.train) == ("causal_lm", "data/novels")
    copied = {path.relative_to(project.folder / "data") for path in (project.folder / "data").rglob("*.*")}
    assert copied == {Path("novels/1.txt"), Path("novels/a/2.txt")}
    assert (project.folder / "data/novels/a/2.txt").read_text() == "The text of a/2.txt."


def labelled_head(*cells: str | None) -> Head:
    return Head(["text", "标签"], [{"text": f"text {number}", "标签": cell} for number, cell in enumerate(cells)])


@pytest.mark.parametrize(
    ("cells", "task", "why"),
    [
        (['["退款", "账单"]', "[]", '["退款"]'], "multi_label_classification", "lists of 2 different"),
        ([None, " ", "[]", '["a，b"]'], "multi_label_classification", "lists of 1 different in the first 4 rows: a，b"),
        (["['a', 'b']", "['a']"], "multi_label_classification", "lists of 2 different in the first 2 rows: a, b"),
        (["['a' 'b']", "['a' 'c']"], "multi_label_classification", "none in the first 2 rows holds a label"),
        (["退款", "账单，退款"], "classification", "2 different"),
        (["[urgent", "b"], "classification", "2 different"),
        ([None, None], "classification", "0 different"),
    ],
)
def test_lists_of_labels_are_several_a_row(cells: list[str | None], task: str, why: str) -> None:
    found = choose_fields(labelled_head(*cells), text=None, label=None, slices=[], group=None)
    assert found.task == task
    assert why in found.roles["label"].why


def test_a_project_of_several_labels_a_row(tmp_path: Path, tiny_base: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a", "标签": []}\n')
    found = choose_fields(labelled_head('["退款"]'), text=None, label=None, slices=[], group=None)
    create_project(tmp_path / "mine", rows, found, Base(tiny_base, "tiny", "because"))
    project = load_project(tmp_path / "mine")
    assert (project.settings.task, project.settings.data.fields.label) == ("multi_label_classification", "标签")
    assert list(read_stages(project)) == ["check", "train"]
    assert "predict" not in (tmp_path / "mine/README.md").read_text()


def test_all_wrong_columns_are_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        choose_fields(HEAD, text="bdy", label="que", slices=["nope", "site"], group="who")
    assert [problem.where for problem in caught.value.problems] == ["--text", "--label", "--group", "--slices nope"]
    assert "name one of: body, queue, site, customer" in str(caught.value)


def test_swapped_columns_are_caught_from_the_file() -> None:
    with pytest.raises(InputError) as caught:
        choose_fields(HEAD, text="queue", label="body", slices=[], group=None)
    (problem,) = caught.value.problems
    assert "look swapped" in problem.message
    assert problem.next_step == "name them the other way round: --text 'body' --label 'queue'"
    with pytest.raises(InputError, match="look swapped"):  # the other one was guessed
        choose_fields(HEAD, text=None, label="body", slices=["site"], group="customer")


def test_one_column_cannot_be_two_things() -> None:
    with pytest.raises(InputError) as caught:
        choose_fields(HEAD, text="body", label="body", slices=["body"], group=None)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("name", [".hidden", "a b", "-x", "x" * 65, "a\nb"])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="not a project name"):
        check_target(tmp_path / name)


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    check_target(folder)
    (folder / "thesis.tex").touch()
    with pytest.raises(InputError, match="not an empty folder"):
        check_target(folder)
    (folder / "modelyard.yaml").touch()
    with pytest.raises(InputError, match="is a project already"):
        check_target(folder)
    with pytest.raises(InputError, match="not an empty folder"):
        check_target(folder / "thesis.tex")


def test_a_base_model_of_ones_own(tiny_base: Path, tmp_path: Path) -> None:
    assert choose_base(str(tiny_base), [], tmp_path) == Base(tiny_base, "tiny", "the folder you named")
    with pytest.raises(InputError, match="neither a folder nor a known base model"):
        choose_base("minilmm", [], tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \.safetensors file"):
        choose_base(str(tmp_path / "empty"), [], tmp_path)


def test_a_folder_without_weights_is_trained_from_new_ones(tiny_decoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_decoder, tmp_path / "plan")
    assert not choose_base(str(folder), [], tmp_path).fresh
    (folder / "model.safetensors").unlink()
    base = choose_base(str(folder), [], tmp_path)
    assert (base.fresh, base.why) == (True, "the folder you named; it holds no weights: they are drawn anew")
    rows = tmp_path / "chats.jsonl"
    rows.write_text('{"conversations": []}\n')
    found = choose_language_fields(CHATS, {}, slices=[], group=None)
    create_project(tmp_path / "tutor", rows, found, base)
    section = load_project(tmp_path / "tutor").settings.model
    assert section is not None
    assert section.fresh


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pytorch_model.bin", "pickled"),
        ("tf_model.h5", "no .safetensors"),
        ("model.safetensors.index.json", "no .safetensors"),  # of a download that has not ended
    ],
)
def test_weights_that_cannot_be_read_are_not_taken_for_none(
    tiny_decoder: Path, tmp_path: Path, name: str, said: str
) -> None:
    folder = shutil.copytree(tiny_decoder, tmp_path / "plan")
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(InputError, match=said):
        choose_base(str(folder), [], tmp_path)


@pytest.mark.parametrize(
    ("model", "text", "command"),
    [
        (None, "a fine film", "modelyard fetch minilm"),
        (None, "这部电影很好 iPhone", "modelyard fetch e5-small"),
        (None, "хороший фильм", "modelyard fetch e5-small"),
        ("minilm", "这部电影很好", "modelyard fetch minilm"),
    ],
)
def test_a_base_model_that_was_not_fetched(tmp_path: Path, model: str | None, text: str, command: str) -> None:
    with pytest.raises(MissingDependency, match=command) as caught:
        choose_base(model, [text], tmp_path)
    assert caught.value.exit_status == 4


def test_a_base_model_from_the_cache(tmp_path: Path, tiny_base: Path) -> None:
    shutil.copytree(tiny_base, tmp_path / "models" / "minilm")
    (tmp_path / "models" / "minilm" / "base.json").write_text("{}")
    base = choose_base(None, ["a fine film"], tmp_path)
    assert base.folder == tmp_path / "models" / "minilm"
    assert base.why == "100% of the letters are Latin: MiniLM, 22.7M parameters, English"


def test_without_git_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_module.shutil, "which", lambda _: None)
    with pytest.raises(MissingDependency, match="apt-get install git"):
        init_module.require_git()
