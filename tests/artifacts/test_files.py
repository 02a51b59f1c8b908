"""Digests that depend on nothing but the tree, and writes that happen whole or not at all."""

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from modelyard.artifacts import files
from modelyard.errors import InputError


class Note(BaseModel):
    word: str


def make_tree(folder: Path, names: list[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return folder


def test_a_folder_digest_is_that_of_the_sha256sum_lines(tmp_path: Path) -> None:
    make_tree(tmp_path, ["b.txt", "a/z.txt"])

    def line(name: str) -> str:
        return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}  {name}\n"

    by_hand = hashlib.sha256((line("a/z.txt") + line("b.txt")).encode()).hexdigest()
    assert files.digest_folder(tmp_path) == files.digest_path(tmp_path) == f"sha256:{by_hand}"
    assert files.digest_path(tmp_path / "b.txt") == f"sha256:{hashlib.sha256(b'b.txt').hexdigest()}"


def test_the_digest_ignores_order_times_modes_and_empty_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a.txt", "a/b.txt", "A.txt", "数据/表.txt", "z"]
    names[0] = "a.text"
    one, other = make_tree(tmp_path / "one", names), make_tree(tmp_path / "other", names[::-1])
    (other / "empty").mkdir()
    os.utime(other / "z", (0, 0))
    (other / "z").chmod(0o600)
    expected = files.digest_folder(one)
    assert files.digest_folder(other) == expected
    real = os.walk

    def backwards(*arguments: object, **options: object) -> object:
        return ((root, folders, found[::-1]) for root, folders, found in list(real(*arguments, **options))[::-1])

    monkeypatch.setattr(os, "walk", backwards)
    assert files.digest_folder(one) == expected
    (one / "z").write_text("other")
    assert files.digest_folder(one) != expected


def test_links_special_files_and_forging_names_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a\nb").write_text("x")
    with pytest.raises(InputError) as caught:
        files.list_files(tmp_path)
    assert len(caught.value.problems) == 3


def test_an_unreadable_folder_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("inner"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match="Permission denied"):
        files.list_files(tmp_path)


def test_a_folder_is_replaced_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with files.replacing_folder(target, mark="mark") as folder:
        make_tree(folder, ["mark", "first"])
        assert not target.exists()
    with files.replacing_folder(target, mark="mark") as folder:
        make_tree(folder, ["mark", "second"])
        assert (target / "first").is_file()
    assert sorted(path.name for path in target.iterdir()) == ["mark", "second"]
    assert [path.name for path in target.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("system", ["no exchange", "other"])
def test_it_is_replaced_where_two_folders_cannot_be_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    if system == "other":
        monkeypatch.setattr(sys, "platform", "darwin")
    else:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    target = make_tree(tmp_path / "out", ["mark", "old"])
    with files.replacing_folder(target, mark="mark") as folder:
        make_tree(folder, ["mark", "new"])
    assert sorted(path.name for path in target.iterdir()) == ["mark", "new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_exception_leaves_what_stood_there(tmp_path: Path) -> None:
    target = make_tree(tmp_path / "out", ["mark", "old"])
    before = files.digest_folder(target)
    with pytest.raises(ZeroDivisionError), files.replacing_folder(target, mark="mark") as folder:
        make_tree(folder, ["mark", "half"])
        raise ZeroDivisionError
    assert files.digest_folder(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_full_disk_is_said_and_leaves_what_stood_there(tmp_path: Path) -> None:
    target = make_tree(tmp_path / "out", ["mark", "old"])
    with (
        pytest.raises(InputError, match="the disk is full"),
        files.replacing_folder(target, mark="mark") as folder,
    ):
        make_tree(folder, ["half"])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (target / "old").is_file()


def test_a_copy_that_fills_the_disk_is_said_of_the_target(tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    with (
        pytest.raises(InputError, match=r"the disk is full while writing .*out\. Next"),
        files.replacing_folder(tmp_path / "out", mark="mark") as folder,
    ):  # shutil.copyfile names both files
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source), None, str(folder / "rows.csv"))


def test_a_file_of_the_folder_that_may_not_be_written_is_said_of_the_target(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="out cannot be written: File name too long"),
        files.replacing_folder(tmp_path / "out", mark="mark") as folder,
    ):
        (folder / ("x" * 300)).write_text("")


def test_another_file_that_cannot_be_read_is_said_of_itself(tmp_path: Path) -> None:
    missing = tmp_path / "baseline.json"
    with (
        pytest.raises(InputError) as caught,
        files.replacing_folder(tmp_path / "out", mark="mark") as folder,
    ):
        shutil.copyfile(missing, folder / "baseline.json")
    (problem,) = caught.value.problems
    assert problem.message == f"{missing} cannot be used: No such file or directory"
    assert problem.where == str(missing)


def test_another_disk_that_is_full_is_said_of_itself(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="the disk is full while writing /elsewhere/x"),
        files.replacing_folder(tmp_path / "out", mark="mark"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/elsewhere/x")


@pytest.mark.parametrize("named", ["bytes", "a descriptor"])
def test_what_else_an_error_may_name_is_no_second_error(tmp_path: Path, named: str) -> None:
    with (
        pytest.raises(InputError, match="out cannot be written: File too large"),
        files.replacing_folder(tmp_path / "out", mark="mark") as folder,
    ):
        raise OSError(errno.EFBIG, "File too large", os.fsencode(folder / "rows") if named == "bytes" else 7)


def test_a_system_error_of_no_file_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), files.replacing_folder(tmp_path / "out", mark="mark"):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, time
from pathlib import Path
from modelyard.artifacts.files import replacing_folder
with replacing_folder(Path(sys.argv[1]), mark="mark") as folder:
    (folder / "mark").write_text("half")
    print("inside", flush=True)
    time.sleep(60)
"""


def test_a_kill_leaves_what_stood_there_and_the_next_one_tidies_up(tmp_path: Path) -> None:
    target = make_tree(tmp_path / "out [1]", ["mark", "old"])
    before = files.digest_folder(target)
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(target)], stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "inside\n"
        child.send_signal(signal.SIGKILL)
    assert files.digest_folder(target) == before
    assert len(list(tmp_path.iterdir())) == 2
    with files.replacing_folder(target, mark="mark") as folder:
        make_tree(folder, ["mark", "new"])
    assert [path.name for path in tmp_path.iterdir()] == ["out [1]"]


KILLED_BETWEEN_RENAMES = """
import os, signal, sys
from pathlib import Path
from modelyard.artifacts import files
files._exchange = lambda one, other: False
renamed, target = [], Path(sys.argv[1])
rename = Path.rename
def stop_at_the_second(self, to):
    if renamed:
        os.kill(os.getpid(), signal.SIGKILL)
    renamed.append(to)
    return rename(self, to)
Path.rename = stop_at_the_second
with files.replacing_folder(target, mark="mark") as folder:
    (folder / "mark").write_text("new")
"""


def kill_between_renames(target: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_BETWEEN_RENAMES, str(target)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not target.exists()


def test_a_kill_between_two_renames_is_mended_by_the_next_one(tmp_path: Path) -> None:
    target = make_tree(tmp_path / "out [1]", ["mark", "old"])
    other = make_tree(tmp_path / ".out [1].b.99999999.old.tmp", ["mark"])  # of the target `out [1].b`
    before = files.digest_folder(target)
    kill_between_renames(target)
    with pytest.raises(ZeroDivisionError), files.replacing_folder(target, mark="mark"):
        assert files.digest_folder(target) == before
        raise ZeroDivisionError
    assert files.digest_folder(target) == before
    assert sorted(tmp_path.iterdir()) == sorted([target, other])


def test_of_two_moved_aside_the_newer_comes_back(tmp_path: Path) -> None:
    target, older = tmp_path / "out", make_tree(tmp_path / ".out.99999999.old.tmp", ["mark", "older"])
    os.utime(older, (0, 0))
    make_tree(tmp_path / ".out.99999998.old.tmp", ["mark", "newer"])
    with files.replacing_folder(target, mark="mark") as folder:
        assert (target / "newer").is_file()
        make_tree(folder, ["mark", "new"])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    make_tree(tmp_path / ".out.99999999.old.tmp", ["mark", "stale"])
    with files.replacing_folder(target, mark="mark") as folder:
        make_tree(folder, ["mark", "newest"])
    assert [path.name for path in tmp_path.rglob("*")] in (["out", "mark", "newest"], ["out", "newest", "mark"])


def test_a_second_rename_that_fails_leaves_what_stood_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    target = make_tree(tmp_path / "out", ["mark", "old"])
    with (
        pytest.raises(InputError, match="out cannot be written"),
        files.replacing_folder(target, mark="mark") as folder,
    ):
        folder.rmdir()
    assert (target / "old").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_folder_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    living = tmp_path / f".out.{os.getppid()}.tmp"
    living.mkdir()
    (tmp_path / ".out.notes.tmp").mkdir()
    with files.replacing_folder(tmp_path / "out", mark="mark"):
        pass
    assert living.is_dir()
    assert (tmp_path / ".out.notes.tmp").is_dir()


@pytest.mark.parametrize("kind", ["somebody else's", "file", "link"])
def test_what_is_not_ours_is_never_replaced(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "out"
    if kind == "file":
        target.write_text("precious")
    elif kind == "link":
        make_tree(tmp_path / "real", ["mark"])
        target.symlink_to(tmp_path / "real")
    else:
        make_tree(target, ["thesis.txt"])
    with pytest.raises(InputError, match="--output"), files.replacing_folder(target, mark="mark"):
        raise AssertionError
    assert target.is_symlink() or target.is_file() or (target / "thesis.txt").is_file()


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with files.replacing_folder(tmp_path / "out", mark="mark") as folder:
        make_tree(folder, ["mark"])
    assert (tmp_path / "out" / "mark").is_file()


def test_a_file_is_written_whole_with_its_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "inner" / "secret"
    files.write_bytes(path, b"one", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="the disk is full"):
        files.write_bytes(path, b"two")
    assert path.read_bytes() == b"one"
    assert [found.name for found in path.parent.iterdir()] == ["secret"]


def test_a_place_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        files.write_bytes(tmp_path / "file" / "below", b"x")


def test_json_keeps_han_readable_and_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "note.json"
    files.write_json(path, Note(word="好"))
    assert path.read_text(encoding="utf-8") == '{\n  "word": "好"\n}\n'
    assert files.read_json_text(path, next_step="go") == path.read_text(encoding="utf-8")
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="cannot be read"):
        files.read_json_text(path, next_step="go")
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 0)
    with pytest.raises(InputError, match="larger than"):
        files.read_json_text(path, next_step="go")


def test_a_foreign_process_counts_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert files._alive(1)


def test_an_exchange_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files._exchange(tmp_path / "one", tmp_path / "other")


def test_a_target_that_another_process_made_meanwhile_is_exchanged(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with files.replacing_folder(target, mark="mark") as folder:
        make_tree(folder, ["mark", "ours"])
        make_tree(target, ["mark", "theirs"])
    assert sorted(path.name for path in target.iterdir()) == ["mark", "ours"]
    with (
        pytest.raises(InputError, match="Modelyard did not make it"),
        files.replacing_folder(tmp_path / "other", mark="mark"),
    ):
        make_tree(tmp_path / "other", ["thesis.txt"])
    assert (tmp_path / "other/thesis.txt").is_file()


def test_two_first_ones_at_the_same_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = make_tree(tmp_path / "out", ["mark", "theirs"])
    beside = make_tree(tmp_path / "beside", ["mark", "ours"])
    real = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path != target and real(path))  # a moment ago it was not there
    files._swap_in(beside, target)
    assert (target / "ours").is_file()


def test_where_nothing_can_be_written_is_found_out_and_nothing_is_made(tmp_path: Path) -> None:
    files.check_output(tmp_path / "deep" / "out", mark="mark")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "file" / "out", tmp_path / "file" / "deep" / "out"):
        with pytest.raises(InputError, match="cannot be written: Not a directory"):
            files.check_output(target, mark="mark")


def test_a_pipe_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "note.json")
    with pytest.raises(InputError, match="is a pipe or a device"):
        files.read_json_text(tmp_path / "note.json", next_step="go")
