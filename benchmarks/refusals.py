"""What Modelyard refuses, tried on the finished demo: a ruined model, too small a test split, a tampered release.

    make demo && python benchmarks/refusals.py            # about 6 minutes on two cores

* ruined: the demo with `gates.compressed: required` and a step after `compress` that rounds the weights of the chosen
  candidate to 2 bits: `modelyard run` must exit 1 and name `drop_max`;
* small: 240 of the reviews, so that the test split has 60 rows, `gates.compressed: required`: `modelyard run` must
  exit 3 and say how many rows it needs;
* tampered: a flipped byte, a missing file, an added file, an edited manifest, a key that is not trusted: `verify`,
  `predict` and `serve` must each exit 1.
"""

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from results_file import write_results

from modelyard.artifacts.candidate import read_choice
from modelyard.evidence.interval import Interval, at_least
from modelyard.evidence.judge import judge
from modelyard.evidence.report import Measurement

MODELYARD = str(Path(sys.executable).parent / "modelyard")


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command in a folder; it must end by itself within twenty minutes."""
    return subprocess.run(
        [MODELYARD, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=1200
    )


def require_compressed(folder: Path) -> None:
    """Set `gates.compressed: required` in a project."""
    path = folder / "modelyard.yaml"
    text, count = re.subn(r"compressed: optional", "compressed: required", path.read_text(encoding="utf-8"))
    assert count == 1, "modelyard.yaml does not say `compressed: optional`"
    path.write_text(text, encoding="utf-8")


def ruin(candidate: Path) -> None:
    """Round the weight matrices of an OpenVINO or ONNX candidate to 4 levels, in place."""
    if (model := next(candidate.glob("*.xml"), None)) is not None:
        _ruin_openvino(model)
    else:
        _ruin_onnx(next(candidate.glob("*.onnx")))


def _ruin_openvino(path: Path) -> None:
    import numpy as np
    import openvino as ov

    model = ov.Core().read_model(path)
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Constant" and node.get_element_type() == ov.Type.i8 and node.get_data().ndim == 2:
            values = node.get_data().astype(np.float32)
            coarse = np.clip(np.round(values / 64), -2, 1) * 64
            replacement = ov.opset13.constant(coarse.astype(np.int8))
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(replacement.output(0))
    ov.save_model(model, path.with_suffix(".ruined.xml"), compress_to_fp16=False)
    path.with_suffix(".ruined.bin").replace(path.with_suffix(".bin"))
    path.with_suffix(".ruined.xml").replace(path)


def _ruin_onnx(path: Path) -> None:
    import numpy as np
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    for weights in model.graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype in (np.int8, np.uint8) and values.ndim == 2:
            coarse = (np.round(values.astype(np.float32) / 64) * 64).clip(-128, 127)
            weights.CopyFrom(numpy_helper.from_array(coarse.astype(values.dtype), weights.name))
    onnx.save(model, path)


def try_ruined(demo: Path, work: Path) -> tuple[bool, str]:
    """`run` on a copy of the demo whose pipeline ruins the chosen candidate."""
    folder = work / "ruined"
    shutil.copytree(demo, folder, symlinks=True)
    require_compressed(folder)
    pipeline = folder / "dvc.yaml"
    text = pipeline.read_text(encoding="utf-8")
    script = f"{sys.executable} {Path(__file__).resolve()} --ruin candidates"
    text, count = re.subn(r"(modelyard compress --exit-zero)", rf"\1 && {script}", text)
    assert count == 1, "dvc.yaml has no compress stage"
    pipeline.write_text(text, encoding="utf-8")
    done = call(folder, "run")
    report = json.loads((folder / "reports/release.json").read_text(encoding="utf-8"))
    failed = sorted({verdict["rule"] for verdict in report["verdicts"] if verdict["outcome"] == "FAIL"})
    named = "drop_max" in failed and "drop_max" in done.stdout
    overall = next(v for v in report["verdicts"] if v["rule"] == "drop_max" and v["scope"] == "overall")
    return done.returncode == 1 and named, f"exit {done.returncode}, failed: {', '.join(failed)}; {overall['reason']}"


def try_small(demo: Path, work: Path) -> tuple[bool, str]:
    """`run` on 240 rows: the test split has 60."""
    lines = (demo / "data/reviews.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = random.Random(0).sample(lines[1:], 240)
    (work / "few.csv").write_text(lines[0] + "".join(kept), encoding="utf-8")
    done = call(work, "init", "small", "--data", "few.csv", "--text", "text", "--label", "label", "--model", "minilm")
    assert done.returncode == 0, done.stderr
    require_compressed(work / "small")
    done = call(work / "small", "run")
    report = json.loads((work / "small/reports/release.json").read_text(encoding="utf-8"))
    overall = next(v for v in report["verdicts"] if v["rule"] == "drop_max" and v["scope"] == "overall")
    needed = overall["samples_needed"]
    shown = needed is not None and str(needed) in done.stdout
    return (
        done.returncode == 3 and shown,
        f"exit {done.returncode}, n={overall['interval']['n']}, rows needed: {needed}",
    )


def _flip_byte(release: Path) -> None:
    artefact = max(release.iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(artefact.read_bytes())
    data[len(data) // 2] ^= 1
    artefact.write_bytes(data)


def _edit_manifest(release: Path) -> None:
    path = release / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"positive"', '"negativ"', 1), encoding="utf-8")


def _new_key(release: Path) -> None:
    """Trust another key than the one that signed."""
    shutil.rmtree(release.parent / "keys")
    assert call(release.parent, "keys", "new").returncode == 0


TAMPERINGS: dict[str, Callable[[Path], object]] = {
    "a flipped byte": _flip_byte,
    "a missing file": lambda release: (release / "tokenizer.json").unlink(),
    "an added file": lambda release: (release / "extra.txt").write_text("x", encoding="utf-8"),
    "an edited manifest": _edit_manifest,
    "an untrusted key": _new_key,
}


def try_tampered(demo: Path, work: Path) -> dict[str, str]:
    """Each tampering against `verify`, `predict` and `serve`: the exit status of each."""
    found = {}
    for name, tamper in TAMPERINGS.items():
        folder = work / name.replace(" ", "-")
        folder.mkdir()
        for part in ("release", "keys"):
            shutil.copytree(demo / part, folder / part)
        shutil.copy(demo / "modelyard.yaml", folder)
        assert call(folder, "verify", "release").returncode == 0
        tamper(folder / "release")
        commands = (("verify", "release"), ("predict", "release", "fine"), ("serve", "release", "--port", "8765"))
        found[name] = " ".join(str(call(folder, *command).returncode) for command in commands)
    return found


def main() -> None:
    """All refusals, one verdict each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path(".work/reviews"))
    parser.add_argument("--work", type=Path, default=Path(".work/refusals"))
    parser.add_argument("--ruin", type=Path, help="only ruin the chosen candidate of this folder")
    options = parser.parse_args()
    if options.ruin:
        ruin(options.ruin / read_choice(options.ruin).chosen)
        return
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    tampered = try_tampered(options.demo, options.work)
    print(tampered)
    small, small_note = try_small(options.demo, options.work)
    print(small_note)
    ruined, ruined_note = try_ruined(options.demo, options.work)
    print(ruined_note)
    refused = sum(statuses == "1 1 1" for statuses in tampered.values())
    claims = {
        "ruined_candidate_exits_1": (int(ruined), 1),
        "sixty_rows_exit_3": (int(small), 1),
        "tampered_release_refused": (refused, len(TAMPERINGS)),
    }
    verdicts = [
        judge(Interval.exact(value, n=n, unit="refusals"), at_least(n), rule=rule)
        for rule, (value, n) in claims.items()
    ]
    path = write_results(
        "refusals",
        verdicts=verdicts,
        measurements=[
            Measurement(
                name="tamperings_tried", interval=Interval.exact(len(tampered), n=len(tampered), unit="releases")
            )
        ],
        parameters={"ruined": ruined_note, "small": small_note, "verify_predict_serve": tampered},
        notes=["exit statuses of verify, predict and serve for each tampering"],
    )
    print(path)


if __name__ == "__main__":
    main()
