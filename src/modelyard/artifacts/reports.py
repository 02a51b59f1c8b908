"""Reports on disk: `reports/STAGE.json` and, beside it, what the stage took."""

import contextlib
import platform
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from modelyard.artifacts.documents import read_document
from modelyard.artifacts.files import check_writable, write_json
from modelyard.errors import GateFailed, InputError, Problem
from modelyard.evidence.judge import Verdict
from modelyard.evidence.report import Report, RunRecord

ORDER = ("check", "train", "compress", "audit", "release")
"""The stages in the order of the pipeline."""
METRICS_FILE = "train.metrics.jsonl"
"""Beside the reports: the figures of every step of a training."""
ANSWERS_FILE = "train.answers.jsonl"
"""Beside the reports: what a trained language model wrote to rows of validation."""
LIBRARIES = ("modelyard", "torch", "transformers", "tokenizers", "onnxruntime", "openvino", "nncf", "polars", "numpy")


def write_report(folder: Path, report: Report) -> Path:
    """Write `folder/STAGE.json` and return its path."""
    path = folder / f"{report.stage}.json"
    write_json(path, report)
    return path


def read_report(path: Path) -> Report:
    """Read one report.

    Raises:
        InputError: it is missing or is not a report.
    """
    return read_document(path, Report, next_step="run the stage that writes it again")


def reports_folder(place: Path) -> Path:
    """The folder of reports that a person named, directly or by the project around it."""
    return place / "reports" if (place / "reports").is_dir() else place


def find_reports(place: Path) -> list[Path]:
    """The reports of a folder in the order of the pipeline, others after them by name.

    Raises:
        InputError: there is none.
    """
    folder = reports_folder(place)
    names = sorted(
        path.stem
        for path in folder.glob("*.json")
        if not path.name.endswith(".run.json") and not path.name.startswith(".")
    )
    if not names:
        raise InputError(
            Problem(f"{folder} holds no report", "name the folder that a stage wrote its report to", str(folder))
        )
    ordered = [*(name for name in ORDER if name in names), *(name for name in names if name not in ORDER)]
    return [folder / f"{name}.json" for name in ordered]


def refuse_failed(folder: Path, stages: Sequence[str]) -> None:
    """Stop where a stage before this one failed; a stage without a report stands alone and stops nothing.

    Args:
        folder: where the reports are.
        stages: names of the stages before.

    Raises:
        GateFailed: every FAIL that keeps a release from being made, of all of them.
        InputError: a report is broken.
    """
    problems = [
        problem
        for stage in stages
        if (path := folder / f"{stage}.json").is_file()
        for problem in failure_problems(read_report(path), str(path))
    ]
    if problems:
        raise GateFailed(problems)


def failure_problems(report: Report, where: str) -> list[Problem]:
    """Each verdict of `failures` as a problem at `where`, for whoever has the report and refuses to go on."""
    return [
        Problem(
            f"{report.stage} failed: {verdict.rule} ({verdict.scope}): {verdict.reason}",
            verdict.next_step or f"mend it and run `modelyard {report.stage}` again",
            where,
        )
        for verdict in failures(report)
    ]


def about_another(stage: str, name: str, told: object, digest: str) -> str:
    """Why a report does not stand: it tells of another folder `name/` than the one on disk. Empty where it does.

    Args:
        stage: whose report it is.
        name: of the folder.
        told: its digest in the report.
        digest: of the folder on disk.
    """
    return "" if told == digest else f"{stage}.json is not about this {name}/ ({digest})"


def again(stage: str) -> str:
    """The next step where what a stage wrote does not go together with what stands on disk."""
    return f"run `modelyard {stage}` again, and what follows it"


def refuse_another_model(folder: Path, digest: str) -> None:
    """Stop where a model is not the one that `train` wrote; without its report it is the user's own and stops nothing.

    Args:
        folder: where the reports are.
        digest: of the model's folder.

    Raises:
        GateFailed: the report tells of another model.
        InputError: the report is broken.
    """
    path = folder / "train.json"
    told = read_report(path).parameters.get("model") if path.is_file() else digest
    if reason := about_another("train", "model", told, digest):
        raise GateFailed(Problem(reason, again("train"), str(path)))


def failures(report: Report) -> list[Verdict]:
    """Verdicts of a report that failed and keep a release from being made."""
    return [verdict for verdict in report.verdicts if verdict.blocks and verdict.outcome == "FAIL"]


def read_run_record(path: Path) -> RunRecord:
    """Read what a stage took.

    Raises:
        InputError: it is missing or is not a run record.
    """
    return read_document(path, RunRecord, next_step="run the stage that writes it again")


@contextlib.contextmanager
def recording(folder: Path, stage: str, *, memory_limit_bytes: int | None = None) -> Iterator[list[int]]:
    """Measure what the block takes and write `folder/STAGE.run.json` when it ends without an error.

    That the folder can be written to is found out first. Seconds of CPU and peak memory include finished child
    processes. On Linux `ru_maxrss` is in KiB.

    Args:
        folder: of the reports.
        stage: its name.
        memory_limit_bytes: what the stage was allowed, for the record.

    Yields:
        A list to which a stage adds what all its processes took together, in bytes, where several ran at once. It then
        stands for the finished children: a child that a large process starts is counted with its parent's pages.
    """
    check_writable(folder)
    start, clock, cpu = datetime.now(UTC), time.monotonic(), _cpu_seconds()
    together: list[int] = []
    yield together
    record = RunRecord(
        stage=stage,
        start=start,
        end=datetime.now(UTC),
        wall_seconds=round(time.monotonic() - clock, 3),
        cpu_seconds=round(_cpu_seconds() - cpu, 3),
        peak_memory_bytes=max([own_peak_bytes(), *together]) if together else _peak_memory_bytes(),
        memory_limit_bytes=memory_limit_bytes,
        machine=describe_machine(),
        versions=installed_versions(),
    )
    write_json(folder / f"{stage}.run.json", record)


def describe_machine() -> dict[str, Any]:
    """What the figures were measured on: processor, cores, memory, and the CPU flags that kernels choose by."""
    import psutil

    return {
        "system": platform.platform(),
        "processor": _cpu_model(),
        "cores": psutil.cpu_count(logical=True),
        "memory_bytes": psutil.virtual_memory().total,
        "cpu_flags": cpu_flags(),
        "python": platform.python_version(),
    }


def cpu_flags() -> list[str]:
    """The flags that decide which int8, bf16 and vector kernels run, sorted; empty where /proc/cpuinfo is absent."""
    wanted = (
        "avx2",
        "avx512f",
        "avx512_vnni",
        "avx_vnni",
        "avx512_bf16",
        "amx_int8",
        "amx_bf16",
        "amx_tile",
        "asimddp",
        "bf16",
        "i8mm",
    )
    line = _cpuinfo_value("flags") or _cpuinfo_value("Features")
    return sorted(set(line.split()) & set(wanted))


def installed_versions() -> dict[str, str]:
    """Versions of the libraries that shape a result, and of Python."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _cpu_model() -> str:
    return _cpuinfo_value("model name") or platform.processor() or platform.machine()


def _cpuinfo_value(key: str) -> str:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), "")


def _cpu_seconds() -> float:
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def own_peak_bytes() -> int:
    """The largest resident set that this process has had."""
    return _BYTES * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _peak_memory_bytes() -> int:
    return max(own_peak_bytes(), _BYTES * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


_BYTES = 1 if sys.platform == "darwin" else 1024
"""The unit of `ru_maxrss`."""
