"""Every command line and code block of the README and of docs/ is run, page by page, as a reader would.

Languages of blocks: `console` (each `$ ` line is run in one shell per page, in a folder with a small `tickets.csv` and
`chats.jsonl`), `yaml` (validated as settings), `python` (run), `json` (parsed). A block without a language is output or
a drawing. A command that ends with a comment such as `# exits 3` must exit with that status. A Chinese page under
docs/ whose commands are those of the English page beside it is not run again; a test holds it to them.
"""

import csv
import json
import os
import random
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelyard.project.load import parse_settings

pytestmark = pytest.mark.docs
ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {"console", "yaml", "python", "json", "text", ""}
# run by CI itself, or by the script that times them; each would run this very test again
NOT_HERE = {
    "make demo",
    "make test",
    "make test lint docs",
    "make docs",
    "make bench",
    "make mutants",
    "make lint",
    "make system-tests",
}
WAIT = "for _ in $(seq 120); do curl -s -o page.live 127.0.0.1:{port}/health/live && break; sleep 1; done"
BACKGROUND = re.compile(r"^modelyard serve\b")
CHINESE_PAGES = sorted((ROOT / "docs").glob("*.zh-CN.md"))
OWN_COMMANDS = {"index.zh-CN.md"}
"""Chinese pages whose commands are meant to differ: another base model, other texts. They are run."""
MINIMAL = "schema: 1\nproject: page\ndata: {train: rows.csv}\nmodel: {base: models/minilm}\n"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line its fence stands on."""

    language: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page; a fence that is never closed is an error."""
    found, opened, lines = [], None, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("```"):
            if opened is None:
                opened, lines = (stripped[3:].split(" ")[0], number), []
            else:
                found.append(Block(opened[0], "\n".join(lines), opened[1]))
                opened = None
        elif opened is not None:
            lines.append(line)
    assert opened is None, f"{page.name}:{opened and opened[1]}: a fence is not closed"
    return found


def commands_of(page: Path) -> list[str]:
    """The console blocks of a page, in order."""
    return [block.text for block in blocks_of(page) if block.language == "console"]


def english_of(page: Path) -> Path:
    """The English page beside a Chinese one."""
    return page.with_name(page.name.removesuffix(".zh-CN.md") + ".md")


def is_run_in_english(page: Path) -> bool:
    """Whether the English page beside this one runs the very same commands."""
    return page in CHINESE_PAGES and commands_of(page) == commands_of(english_of(page))


def write_tickets(path: Path, *, chinese: bool) -> None:
    """150 support tickets in three queues, put together from phrases."""
    choose = random.Random(0)
    if chinese:
        start = ["你好，", "麻烦看一下，", "急！", "第二次来问了：", "请问，"]
        core = {
            "退款": ["同一个订单扣了我两次钱", "退款一直没到账", "发票金额不对，要求退差价", "取消了订阅还在扣费"],
            "物流": ["快递三天没动了", "包裹显示签收但我没收到", "地址写错了，能改吗？", "外箱压坏了，里面也碎了"],
            "技术": ["登录总是提示密码错误", "更新之后软件打不开", "验证码收不到", "上传文件到一半就报错"],
        }
        end = ["，请尽快处理。", "，谢谢！", "，怎么办？", "（订单号{}）。", "，已经等了{}天。"]
    else:
        start = ["Hello, ", "Hi team, ", "Urgent: ", "Second time I ask: ", "Please help, "]
        core = {
            "billing": ["I was charged twice for one order", "my refund has not arrived", "the invoice is too high"],
            "delivery": [
                "the parcel has not moved for days",
                "it says delivered but I have nothing",
                "the box was crushed",
            ],
            "technical": [
                "login says the password is wrong",
                "the app does not open after the update",
                "no code arrives",
            ],
        }
        end = [" and I want it solved.", ", thanks!", ", what now?", " (order {}).", ", waiting for {} days."]
    rows: dict[str, str] = {}
    while len(rows) < 150:
        queue = choose.choice(sorted(core))
        text = choose.choice(start) + choose.choice(core[queue]) + choose.choice(end).format(choose.randint(2, 99999))
        rows[text + str(choose.randint(1, 9))] = queue
    with path.open("w", encoding="utf-8-sig", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["body", "queue"])
        writer.writerows(rows.items())


def write_chats(path: Path) -> None:
    """40 conversations of two turns, put together from phrases."""
    things = ["an apple", "the moon", "a river", "the sea", "a stone", "a cloud", "the sun", "a tree", "rain", "snow"]
    asked = ["What is {}?", "Tell me about {}.", "Is {} heavy?", "Who made {}?"]
    said = ["{} is a thing of nature.", "I can tell you that {} is old.", "{} has its weight.", "Nobody made {}."]
    with path.open("w", encoding="utf-8") as handle:
        for thing in things:
            for question, answer in zip(asked, said, strict=True):
                turns = [("user", question.format(thing)), ("assistant", answer.format(thing))]
                row = {"messages": [{"role": role, "content": content} for role, content in turns]}
                handle.write(json.dumps(row) + "\n")


def script_of(blocks: list[Block], page: Path) -> str:
    """One shell script of a page's commands, without those that CI runs by themselves."""
    lines = ["set -eu"]
    for block in blocks:
        for command in re.findall(r"^\$ (.*)$", block.text, flags=re.MULTILINE):
            bare, _, comment = command.partition("  # ")
            status = re.search(r"exits (\d)", comment)
            if bare.strip() in NOT_HERE:
                continue
            lines.append(f"echo '--- {page.name}:{block.line}'; printf '%s\\n' {json.dumps(bare, ensure_ascii=False)}")
            if BACKGROUND.match(bare):
                port = re.search(r"--port (\d+)", bare)
                lines.append(f"{bare} & trap 'kill $(jobs -p)' EXIT")
                lines.append(WAIT.format(port=port[1] if port else 8000))
            elif status:
                lines.append(f"set +e; ( {bare} ); found=$?; set -e; test $found -eq {status[1]}")
            else:
                lines.append(bare)
    return "\n".join(lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_console_blocks(page: Path, tmp_path: Path) -> None:
    blocks = [block for block in blocks_of(page) if block.language == "console"]
    script = script_of(blocks, page)
    if script == "set -eu" or is_run_in_english(page):
        return
    write_tickets(tmp_path / "tickets.csv", chinese="zh-CN" in page.name)
    write_chats(tmp_path / "chats.jsonl")
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=2400
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_other_blocks(page: Path) -> None:
    for block in blocks_of(page):
        where = f"{page.name}:{block.line}"
        assert block.language in LANGUAGES, f"{where}: {block.language} is not a language that is checked"
        if block.language == "json":
            json.loads(block.text)
        if block.language == "python":
            exec(compile(block.text, where, "exec"), {})
        if block.language == "yaml":
            whole = block.text if block.text.startswith("schema:") else MINIMAL + block.text
            parse_settings(whole, where)


def test_pairs_of_pages_have_the_same_commands() -> None:
    compared = 0
    for page in CHINESE_PAGES:
        here, english = commands_of(page), commands_of(english_of(page))
        if page.name in OWN_COMMANDS:
            assert here != english, f"{page.name} repeats the English page: take it out of OWN_COMMANDS"
            continue
        assert here == english, f"{page.name} must repeat the console blocks of {english_of(page).name}, to the letter"
        compared += len(english)
    assert len(CHINESE_PAGES) >= 5
    assert len(CHINESE_PAGES) > len(OWN_COMMANDS)
    assert compared >= 16  # the blocks of commands.md: a comparison of nothing would pass as well


def test_the_sweep_covers_the_pages() -> None:
    assert len(PAGES) >= 15
    assert sum(len(blocks_of(page)) for page in PAGES) >= 20
