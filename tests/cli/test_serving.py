"""`predict` and `serve` as a person runs them."""

import io
import json
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modelyard.artifacts.release import Limits
from modelyard.cli import serving
from modelyard.cli.main import main
from modelyard.tasks.classification import Prediction


def status_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)


def give_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes, *, terminal: bool = False) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: terminal, buffer=io.BytesIO(data)))


def test_texts_get_aligned_lines(sealed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("predict", str(sealed.folder), "good", "the\x1b[2J film", "--trusted-key", str(sealed.key)) == 0
    printed = capsys.readouterr()
    assert printed.err == ""  # nothing was cut
    lines = printed.out.splitlines()
    assert lines[0] == "大    0.998  good"  # 1 / (1 + e^-6)
    assert "\x1b" not in lines[1]
    assert lines[1].endswith("the [2J film")


def test_a_label_commands_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    labels = ["\x1b[2Jgood", "b" * 1_000]
    answers = [Prediction(labels[0], {labels[0]: 0.9, labels[1]: 0.1}, [2.0, 0.0])]
    fake = SimpleNamespace(labels=labels, limits=Limits(), answer=lambda texts: answers)
    assert serving._print_table(fake, ["text"]) == [False]  # type: ignore[arg-type]
    line = capsys.readouterr().out
    assert line.startswith("\\x1b[2Jgood ")
    assert len(line) < 100


def test_json_is_the_answer_of_the_service(sealed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["good"] * 33 + ["great"]
    assert status_of("predict", str(sealed.folder), *texts, "--json", "--trusted-key", str(sealed.key)) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["release"].startswith("sha256:")
    assert [item["logits"] for item in document["predictions"]] == [[3.0, 9.0]] * 33 + [[3.0, 10.0]]


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_texts_longer_than_the_model_reads_are_counted_and_the_first_is_named(
    sealed: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    give_stdin(monkeypatch, b"good\n" + b"good " * 15 + b"\n" + b"good " * 14 + b"\n" + b"good " * 90 + b"\n")
    assert status_of("predict", str(sealed.folder), *option, "--trusted-key", str(sealed.key)) == 0
    printed = capsys.readouterr()
    assert printed.err == (
        "2 of 4 texts are longer than the 16 tokens that the model reads, their ends were left out; "
        "the first is stdin:2\n"
    )
    assert printed.out.count('"truncated": true') == (2 if option else 0)


def test_lines_of_stdin_are_texts(
    sealed: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give_stdin(monkeypatch, "\ufeffgood\r\ngood\u2028good\n".encode())
    assert status_of("predict", str(sealed.folder), "--json", "--trusted-key", str(sealed.key)) == 0
    document = json.loads(capsys.readouterr().out)
    assert [item["logits"] for item in document["predictions"]] == [[3.0, 9.0], [4.0, 13.0]]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"good\n\n  \nbad\n", ["stdin:2", "stdin:3", "the text is empty"]),
        (b"good\n\xff\n", ["stdin:2", "is not UTF-8", "iconv"]),
        (b"", ["stdin is empty"]),
    ],
)
def test_bad_lines_are_all_named(
    sealed: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: bytes,
    words: list[str],
) -> None:
    give_stdin(monkeypatch, data)
    assert status_of("predict", str(sealed.folder), "--trusted-key", str(sealed.key)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert all(word in printed.err for word in words)


def test_a_terminal_and_too_much_are_refused(
    sealed: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give_stdin(monkeypatch, b"", terminal=True)
    assert status_of("predict", str(sealed.folder)) == 2
    assert "no text was given" in capsys.readouterr().err
    monkeypatch.setattr(serving, "MAX_STDIN_BYTES", 3)
    give_stdin(monkeypatch, b"good\n")
    assert status_of("predict", str(sealed.folder)) == 2
    assert "split -l" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["predict"], ["serve"], ["verify"]])
def test_without_a_key_nothing_is_loaded(
    sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = ["good"] if command == ["predict"] else []
    assert status_of(*command, str(sealed.folder), *text) == 2
    assert "--trusted-key" in capsys.readouterr().err


def test_the_project_in_this_folder_says_whom_to_trust(
    sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "modelyard.yaml").write_text(
        f"schema: 1\nproject: p\ndata: {{train: d}}\nmodel: {{base: b}}\nrelease: {{trusted_keys: ['{sealed.key}']}}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert status_of("predict", "release", "good") == 0
    assert capsys.readouterr().out.startswith("大")


def test_a_port_that_is_taken_is_said_before_the_model_is_loaded(
    sealed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert status_of("serve", str(sealed.folder), "--port", port, "--trusted-key", str(sealed.key)) == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err
    assert status_of("serve", str(sealed.folder), "--host", "no host", "--trusted-key", str(sealed.key)) == 2
    assert "--host" in capsys.readouterr().err


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_a_line_to_paste_answers_and_stops(sealed: Any, stop: signal.Signals) -> None:
    start = "import sys; from modelyard.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", start, "serve", str(sealed.folder), "--port", "0"]
    command += ["--trusted-key", str(sealed.key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            words = shlex.split(server.stdout.readline())
            assert words[0] == "curl"
            assert words[1].startswith("http://127.0.0.1:")
            header = dict([words[3].split(": ")])
            request = urllib.request.Request(words[1], data=words[5].encode(), headers=header)
            with urllib.request.urlopen(request, timeout=60) as response:
                assert len(json.load(response)["predictions"]) == 1
            server.send_signal(stop)
            _, errors = server.communicate(timeout=60)
        finally:
            server.kill()
    assert errors == ""
    assert server.returncode == 0


def test_predict_without_its_release_says_so_before_it_reads_anything(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["predict", "同一个订单扣了我两次钱"])
    assert end.value.code == 2
    assert "write the release before the texts" in capsys.readouterr().err
