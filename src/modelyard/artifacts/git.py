"""What Git says of a folder; nothing where there is no Git or no repository."""

import subprocess
from pathlib import Path

TIMEOUT_SECONDS = 60


def git(root: Path, *arguments: str) -> str | None:
    """What `git ARGUMENTS` prints in a folder, stripped; None where it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def head_commit(root: Path) -> str | None:
    """The commit that is checked out; None outside Git."""
    return git(root, "rev-parse", "HEAD") or None
