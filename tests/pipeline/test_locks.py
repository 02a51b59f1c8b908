import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.pipeline.locks import DVC_LOCKS, drop_stale_locks


def write(folder: Path, text: str) -> Path:
    path = folder / DVC_LOCKS
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_gone_processes_and_those_of_an_earlier_run_are_dropped(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    alive = {"pid": os.getpid(), "cmd": "dvc repro"}
    gone = {"pid": ended.pid, "cmd": "dvc repro"}
    ours = {"pid": os.getpid(), "cmd": "/somewhere/modelyard/pipeline/guarded.py 1 repro"}
    path = write(tmp_path, json.dumps({"read": {"a": [alive, gone], "b": [gone]}, "write": {"c": ours, "d": alive}}))
    drop_stale_locks(tmp_path)
    assert json.loads(path.read_text()) == {"read": {"a": [alive]}, "write": {"d": alive}}


def test_a_zombie_is_gone(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    path = write(tmp_path, json.dumps({"read": {}, "write": {"c": {"pid": child.pid, "cmd": "dvc repro"}}}))
    drop_stale_locks(tmp_path)
    child.wait()
    assert json.loads(path.read_text()) == {"read": {}, "write": {}}


@pytest.mark.parametrize(
    "text", ["", '{"read": {}, "wri', "[]", '{"read": 3, "write": {}}', '{"read": {"a": [3]}, "write": {}}']
)
def test_a_list_cut_off_by_a_kill_is_removed(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    drop_stale_locks(tmp_path)
    assert not path.exists()


def test_no_list_is_fine(tmp_path: Path) -> None:
    drop_stale_locks(tmp_path)
    assert list(tmp_path.iterdir()) == []
