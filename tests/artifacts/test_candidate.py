import hashlib
from pathlib import Path

import pytest

from modelyard.artifacts.candidate import Card, Choice, digest_artefact, read_card, read_choice
from modelyard.artifacts.files import write_json
from modelyard.errors import InputError


def test_card_and_choice_come_back_as_written(tmp_path: Path) -> None:
    card = Card(
        name="a",
        technique="as it is",
        engine="onnx",
        compressed=False,
        artefact=["model.onnx"],
        digest="sha256:0",
        size_bytes=4,
        dtypes={"float32": 4},
    )
    choice = Choice(chosen="a", ranked=[], not_chosen={"b": "slower"}, model="sha256:1")
    write_json(tmp_path / "card.json", card)
    write_json(tmp_path / "choice.json", choice)
    assert read_card(tmp_path) == card
    assert read_choice(tmp_path) == choice
    with pytest.raises(InputError, match="modelyard compress"):
        read_choice(tmp_path / "nowhere")


def test_an_artefact_is_named_by_its_files_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_bytes(b"graph")
    (tmp_path / "m.bin").write_bytes(b"weights")
    lines = "".join(
        f"sha256:{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in (("m.bin", b"weights"), ("m.xml", b"graph"))
    )
    expected = "sha256:" + hashlib.sha256(lines.encode()).hexdigest()
    assert digest_artefact(tmp_path, ["m.xml", "m.bin"]) == digest_artefact(tmp_path, ["m.bin", "m.xml"]) == expected
