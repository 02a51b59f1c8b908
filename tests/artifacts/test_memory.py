"""Memory left by control groups: fake trees as the kernel's documentation describes them."""

from pathlib import Path

import pytest

from modelyard.artifacts import memory
from modelyard.artifacts.memory import available_memory_bytes


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory, "_OWN", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")
    return tmp_path


def own(tree: Path, *lines: str) -> None:
    (tree / "cgroup").write_text("".join(f"{line}\n" for line in lines))


def second(tree: Path, path: str, most: str, used: int, inactive: int = 0) -> None:
    folder = tree / "groups" / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")


def test_a_container_has_what_its_limit_leaves(tree: Path) -> None:
    machine = available_memory_bytes()  # there is no /proc/self/cgroup, as on macOS
    own(tree, "0::/")
    second(tree, "", "1000000", 900_000, inactive=300_000)
    assert available_memory_bytes() == 400_000  # files that were read once can go
    second(tree, "", "max", 900_000)
    assert available_memory_bytes() == pytest.approx(machine, rel=0.3)


@pytest.mark.parametrize(
    ("slice_limit", "unit_limit", "left"), [("max", "5000", 4_000), ("3000", "max", 1_000), ("3000", "9000", 1_000)]
)
def test_the_group_that_leaves_least_counts_own_or_around_it(
    tree: Path, slice_limit: str, unit_limit: str, left: int
) -> None:
    own(tree, "0::/user.slice/train:1.service")
    (tree / "groups").mkdir()  # the root of the machine has no limit and no such file
    second(tree, "user.slice", slice_limit, 2_000)
    second(tree, "user.slice/train:1.service", unit_limit, 1_000)
    second(tree, "other.slice", "10", 0)
    assert available_memory_bytes() == left


@pytest.mark.parametrize("path", ["/docker/0123", "/../0123"])
def test_a_container_that_sees_the_path_of_its_host_is_at_the_top(tree: Path, path: str) -> None:
    own(tree, f"0::{path}")
    second(tree, "", "1000", 200)
    assert available_memory_bytes() == 800
    second(tree, "0123", "100", 0)  # a group below with the name of one outside is another one
    assert available_memory_bytes() == 800


def test_the_first_version_has_a_tree_for_memory(tree: Path) -> None:
    own(tree, "9:name=systemd:/job", "4:cpu,memory:/job", "0::/")
    for path, limit in {"memory": 2**63 - 4096, "memory/job": 7_000, "job": 10}.items():
        folder = tree / "groups" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.limit_in_bytes").write_text(str(limit))
        (folder / "memory.usage_in_bytes").write_text("4000")
        (folder / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 500\n")
    assert available_memory_bytes() == 3_500


def test_more_used_than_allowed_leaves_nothing(tree: Path) -> None:
    own(tree, "0::/")
    second(tree, "", "1000", 1_200)
    assert available_memory_bytes() == 0
