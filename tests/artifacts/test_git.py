import subprocess
from pathlib import Path

import pytest

from modelyard.artifacts import git


def test_the_commit_of_a_folder(tmp_path: Path) -> None:
    assert git.head_commit(tmp_path) is None  # no repository
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], [*name, "commit", "-q", "--allow-empty", "-m", "one"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    commit = git.head_commit(tmp_path)
    assert commit is not None and len(commit) == 40
    assert git.git(tmp_path, "status", "--porcelain") == ""
    assert git.git(tmp_path, "no-such-verb") is None


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git.git(tmp_path, "status") is None
