import json
import os
from importlib import metadata
from pathlib import Path

from modelyard.pipeline.machine import write_machine


def test_it_is_written_once_and_again_only_when_it_differs(tmp_path: Path) -> None:
    path = write_machine(tmp_path)
    content = json.loads(path.read_text())
    assert content["engines"]["torch"] == metadata.version("torch")
    assert content["cores"] == os.cpu_count()
    os.utime(path, (1, 1))
    write_machine(tmp_path)
    assert path.stat().st_mtime == 1
    path.write_text("{}")
    write_machine(tmp_path)
    assert json.loads(path.read_text()) == content
