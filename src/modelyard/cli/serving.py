"""`predict` and `serve`: a verified release answers, here or over HTTP."""

import contextlib
import json
import shlex
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelyard.cli.console import shown
from modelyard.errors import InputError, Problem

if TYPE_CHECKING:
    from modelyard.artifacts.release import Release
    from modelyard.serving.predict import Predictor

MAX_STDIN_BYTES = 64 * 1024 * 1024
MOST_LABEL = 40
"""Characters of a label in the table: a file may name one in a thousand, or with commands to the terminal."""

ReleaseFolder = Annotated[Path, typer.Argument(metavar="RELEASE", help="Folder that `modelyard release` wrote.")]
TrustedKeys = Annotated[
    list[Path] | None,
    typer.Option(
        "--trusted-key",
        metavar="FILE",
        help="Public key that must have signed the release; may be given several times. "
        "Default: release.trusted_keys of ./modelyard.yaml.",
    ),
]


def predict(
    release: ReleaseFolder,
    text: Annotated[list[str] | None, typer.Argument(help="Texts to label. None: one per line of stdin.")] = None,
    trusted_key: TrustedKeys = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as `serve` would send it.")] = False,
) -> None:
    """Label texts with a release, after its signature and every digest were verified.

    modelyard predict release "a lovely film"

    cut -f2 reviews.tsv | modelyard predict release --json
    """
    if not release.is_dir():
        raise InputError(
            Problem(
                f"{str(release)[:80]!r} is no folder, and the first word names the release",
                'write the release before the texts: modelyard predict RELEASE "text"',
                "RELEASE",
            )
        )
    texts, names = _texts(text or [])
    opened_release = verified(release, trusted_key)
    from modelyard.serving.predict import check_texts, opened

    check_texts(texts, opened_release.manifest.limits, names=names)
    with opened(opened_release) as predictor:
        show = _print_json if as_json else _print_table
        cut = [name for name, truncated in zip(names, show(predictor, texts), strict=True) if truncated]
        if cut:
            sys.stderr.write(
                f"{len(cut):,} of {len(texts):,} texts are longer than the {predictor.max_length_tokens} tokens that "
                f"the model reads, their ends were left out; the first is {cut[0]}\n"
            )


def serve(
    release: ReleaseFolder,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 8000,
    trusted_key: TrustedKeys = None,
    unsigned: Annotated[
        bool,
        typer.Option("--unsigned", help="RELEASE is a plain Hugging Face classifier folder that nobody vouches for."),
    ] = False,
) -> None:
    """Answer over HTTP: POST /predict, GET /info, /health/live, /health/ready, /metrics and /docs.

    The release is verified before it is loaded. Requests share batches, and are refused (429) where they would wait
    longer than the release promises. SIGTERM or Ctrl-C: whatever is under way is answered first. Without TLS and
    without logins: keep it on this machine, or put a proxy that has both in front of it.
    """
    from modelyard.serving.predict import opened, opened_unsigned
    from modelyard.serving.threads import engine_threads, usable_cores

    threads = engine_threads(usable_cores())
    model = (
        opened_unsigned(release, threads=threads)
        if unsigned
        else opened(verified(release, trusted_key), threads=threads)
    )
    listener = _listen(host, port)
    with contextlib.closing(listener), model as predictor:
        from modelyard.serving.service import serve_until_stopped, started

        with started(predictor) as service:
            address = listener.getsockname()
            host = f"[{address[0]}]" if ":" in address[0] else address[0]
            url = f"http://{host}:{address[1]}"
            body = shlex.quote(json.dumps({"inputs": "your text"}))
            batch, rate = service.pace.batch, 1 / service.pace.row_seconds
            sys.stdout.write(
                f"{predictor.name}, release {predictor.digest}, answers on {url} (docs: {url}/docs)\n"
                f"  curl {url}/predict -H 'Content-Type: application/json' -d {body}\n"
                f"measured here: {rate:,.0f} rows of 32 tokens a second on {threads} threads; a batch has at most "
                f"{batch.rows} rows and {batch.tokens:,} tokens; a request that would wait longer than "
                f"{predictor.latency_ms:g} ms gets 429\n"
                "stop it with Ctrl-C\n"
            )
            sys.stdout.flush()
            serve_until_stopped(service.app, listener)


def verified(folder: Path, trusted_keys: list[Path] | None) -> "Release":
    """Verify a release against the keys that were named, else against those of the project in this folder.

    Raises:
        InputError: no release, or no key.
        GateFailed: it does not verify.
    """
    from modelyard.artifacts.release import open_release

    return open_release(folder, trusted_keys or _project_keys())


def _project_keys() -> list[Path]:
    from modelyard.project.load import FILE_NAME, load_project

    here = Path()
    if not (here / FILE_NAME).is_file():
        return []
    project = load_project(here)
    return [project.path(name) for name in project.settings.release.trusted_keys]


def _texts(given: list[str]) -> tuple[list[str], list[str]]:
    """Texts and where each stands: the arguments, else the lines of stdin."""
    if given:
        return given, [f"text {number}" for number in range(1, len(given) + 1)]
    if sys.stdin.isatty():
        raise InputError(
            Problem("no text was given", 'name one: modelyard predict RELEASE "text", or send lines to stdin', "stdin")
        )
    data = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
    if len(data) > MAX_STDIN_BYTES:
        raise InputError(Problem("stdin holds more than 64 MiB", "send it in parts (split -l 100000)", "stdin"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            Problem(f"byte {error.start} is not UTF-8", "convert it: iconv -f ENCODING -t UTF-8", f"stdin:{line}")
        ) from error
    # only line ends that files have: str.splitlines would also cut at U+2028 inside a text
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if lines == [""]:
        raise InputError(Problem("stdin is empty", "send one text per line", "stdin"))
    return lines, [f"stdin:{number}" for number in range(1, len(lines) + 1)]


def _print_json(predictor: "Predictor", texts: list[str]) -> list[bool]:
    """The document of `POST /predict`, written batch by batch; whether each text was cut."""
    from modelyard.serving.predict import as_document

    truncated = []
    separator = '{"predictions": ['
    for batch in _batches(predictor, texts):
        for prediction in predictor.answer(batch):
            sys.stdout.write(separator + json.dumps(as_document(prediction), ensure_ascii=False))
            separator = ", "
            truncated.append(prediction.truncated)
    sys.stdout.write(f'], "release": "{predictor.digest}"}}\n')
    return truncated


def _print_table(predictor: "Predictor", texts: list[str]) -> list[bool]:
    """Label, its probability, and the text on one line, cut to the terminal; whether each was cut for the model."""
    from rich.cells import cell_len, set_cell_size
    from rich.console import Console
    from rich.text import Text

    truncated = []
    console = Console(highlight=False)
    names = {label: shown(label, MOST_LABEL) for label in predictor.labels}
    width = max(map(cell_len, names.values()))
    for batch in _batches(predictor, texts):
        for text, prediction in zip(batch, predictor.answer(batch), strict=True):
            label = set_cell_size(names[prediction.label], width)
            line = Text(f"{label}  {prediction.probabilities[prediction.label]:.3f}  ")
            line.append("".join(letter if letter.isprintable() else " " for letter in text), style="dim")
            console.print(
                line, no_wrap=True, overflow="ellipsis", crop=sys.stdout.isatty(), soft_wrap=not sys.stdout.isatty()
            )
            truncated.append(prediction.truncated)
    return truncated


def _batches(predictor: "Predictor", texts: list[str]) -> list[list[str]]:
    size = predictor.limits.batch_rows
    return [texts[start : start + size] for start in range(0, len(texts), size)]


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, or a clear error before the model is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise InputError(
            Problem(f"the host {host!r} is not known here: {error.strerror}", "name an address", "--host")
        ) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise InputError(
            Problem(
                f"cannot listen on {host} port {port}: {error.strerror}",
                "name another --port (0 takes a free one), or stop what listens there",
                "--port",
            )
        ) from error
    return listener
