"""One pass over a file before anything is parsed: what it is, its digest, and where it may be cut.

What comes out is plain text in UTF-8 (the file itself, or a copy where it was compressed or of another encoding) and
the places where it may be cut into pieces that are parsed apart. Memory is a few MiB whatever the file's size; only a
file that is not UTF-8 is held whole, up to 64 MiB of it.
"""

import codecs
import contextlib
import hashlib
import itertools
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from modelyard.artifacts.files import digest_file
from modelyard.data.reading.damage import find_damage
from modelyard.data.reading.decode import BROKEN, byte_pieces, decode_text, transcode
from modelyard.data.reading.kinds import foreign_file
from modelyard.data.reading.locate import COMPRESSED, file_format, shown_path
from modelyard.errors import InputError, Problem

PIECE_BYTES = 8 * 1024**2
"""About what one piece holds: large enough that a start-up costs little, small enough that many fit into memory."""
WHOLE_BYTES = 64 * 1024**2
"""Up to here a file that is not UTF-8 is decoded whole, which sees every byte before it decides on the encoding."""
MAX_LINE_BYTES = 64 * 1024**2
"""A line, or a quoted cell of many lines, beyond this is no row: parsing it would take many times as much memory."""
PARQUET_GROWTH = 3
"""How many times as large the rows of a Parquet file are taken to be in memory as on disk."""
MAX_ROWS = 2_000_000_000


@dataclass(frozen=True)
class Cut:
    """A piece of a file: bytes `start` to `end` of text, its first line counted from 1; rows of Parquet from 0."""

    start: int
    end: int
    first_line: int


@dataclass(frozen=True)
class Surveyed:
    """A file that can be read.

    Attributes:
        path: as reports name it.
        plain: the file to parse: UTF-8 (surrogates allowed where `broken`) or Parquet.
        kind: `csv`, `tsv`, `json`, `jsonl`, `parquet`, `text`; `passages` for a text that is the only file.
        digest: of the file as it lies on disk.
        encoding: Python's name of the encoding it had; empty for Parquet.
        broken: characters that no text holds may stand in it, to be left out row by row.
        cuts: its pieces in order, covering it whole.
        size_bytes: of `plain`.
    """

    path: str
    plain: Path
    kind: str
    digest: str
    encoding: str
    broken: bool
    cuts: tuple[Cut, ...]
    size_bytes: int


def survey(
    path: Path,
    root: Path,
    scratch: Path,
    *,
    skip_bad_rows: bool = False,
    alone: bool = False,
    head: bool = False,
) -> Surveyed:
    """Look a file through.

    Args:
        path: the file, of a kind that is read.
        root: what its shown name is relative to.
        scratch: a folder for a plain copy, under a name of its own.
        skip_bad_rows: lines that hold what no text does are left to the parser.
        alone: it is the only file of its split: where it is a plain text, its passages are the rows.
        head: only its first piece is wanted: a text that is UTF-8 so far is looked at no further, and has no digest.

    Raises:
        InputError: it cannot be read, decompressed or decoded, or is something else than its name says.
    """
    name = shown_path(path, root)
    kind = file_format(path)
    assert kind is not None, path
    if kind == "text" and alone:
        kind = "passages"
    copy = scratch / f"{hashlib.sha256(str(path).encode('utf-8', 'surrogateescape')).hexdigest()[:24]}.plain"
    if kind == "parquet":
        return _survey_parquet(path, name, copy)
    foreign = foreign_file(path, name) if path.suffix.lower() not in COMPRESSED else None
    if foreign:
        raise InputError(foreign)
    if head and (first := _survey_head(path, name, kind, copy)) is not None:
        return first
    return _survey_text(path, name, kind, copy, skip_bad_rows)


def _survey_head(path: Path, name: str, kind: str, copy: Path) -> Surveyed | None:
    """The first piece of a text in UTF-8 that has several; None for any other file."""
    look = _Look(_Cutter(kind, name))
    compressed = path.suffix.lower() in COMPRESSED
    with copy.open("wb") if compressed else contextlib.nullcontext() as handle:
        for piece in byte_pieces(path, name):
            look.feed(piece)
            if handle is not None:
                handle.write(piece)
            if not look.valid:
                return None
            if look.cutter.cuts:
                first = Cut(look.mark_bytes, look.cutter.cuts[0].end, 1)
                plain = copy if compressed else path
                return Surveyed(name, plain, kind, "", look.encoding, False, (first,), look.cutter.offset)
    return None


def _survey_text(path: Path, name: str, kind: str, copy: Path, skip_bad_rows: bool) -> Surveyed:
    compressed = path.suffix.lower() in COMPRESSED
    look = _Look(_Cutter(kind, name))
    if compressed:
        with copy.open("wb") as handle:
            for piece in byte_pieces(path, name):
                look.feed(piece)
                handle.write(piece)
        plain, shown = copy, digest_file(path)
        foreign = foreign_file(copy, name)
        if foreign:
            raise InputError(foreign)
    else:
        plain, shown = path, _look_through(path, name, look)
    if look.is_plain():
        cuts = look.cutter.finish(skip=look.mark_bytes)
        return Surveyed(name, plain, kind, shown, look.encoding, False, cuts, look.cutter.offset)
    encoding, broken = _to_utf8(plain, name, copy, look.cutter.offset, skip_bad_rows)
    cutter = _Cutter(kind, name)
    for piece in byte_pieces(copy, name):
        cutter.feed(piece)
    return Surveyed(name, copy, kind, shown, encoding, broken, cutter.finish(), cutter.offset)


def _to_utf8(plain: Path, name: str, copy: Path, size: int, skip_bad_rows: bool) -> tuple[str, bool]:
    """Write `plain`, which is no clean UTF-8, to `copy`, which is but for surrogates; the encoding it had."""
    if size > WHOLE_BYTES:
        beside = copy.with_suffix(".utf8")
        encoding, broken = transcode(plain, name, beside, broken_lines_pass=skip_bad_rows)
        beside.replace(copy)
        return encoding, broken
    text, encoding = decode_text(plain.read_bytes(), name, broken_lines_pass=skip_bad_rows)
    copy.write_bytes(text.encode("utf-8", "surrogatepass"))
    return encoding, skip_bad_rows and BROKEN.search(text) is not None


@dataclass
class _Cutter:
    """Finds line ends, outside of quotes where the kind has them, about 8 MiB apart.

    In CSV a line end stands outside of quotes where an even number of them stand before it (RFC 4180). A stray quote in
    a cell without quotes upsets that count: the file is then cut at the next line end all the same once a piece is as
    long as no line may be, and where that was within a quoted cell after all, the parser of that piece says so.
    """

    kind: str
    name: str
    offset: int = 0
    line: int = 1
    odd: bool = False
    start: int = 0
    start_line: int = 1
    cuts: list[Cut] = field(default_factory=list)

    def feed(self, block: bytes) -> None:
        """Count a block and cut it where it is time."""
        place = 0
        while self.kind != "json":
            end = block.find(b"\n", max(place, self.start + PIECE_BYTES - self.offset))
            if end < 0:
                break
            self._count(block, place, end + 1)
            place = end + 1
            if not self.odd or self.offset + place - self.start > MAX_LINE_BYTES:
                self._cut(self.offset + place)
        if self.kind != "json" and self.offset + len(block) - self.start > 2 * MAX_LINE_BYTES:
            raise InputError(
                Problem(
                    f"a line that starts here is longer than {2 * MAX_LINE_BYTES} bytes, which no row is",
                    "write one record per line; a whole corpus in one line has to be cut into documents first",
                    f"{self.name}:{self.start_line}",
                )
            )
        self._count(block, place, len(block))
        self.offset += len(block)

    def _count(self, block: bytes, start: int, end: int) -> None:
        self.line += block.count(b"\n", start, end)
        if self.kind in ("csv", "tsv") and block.count(b'"', start, end) % 2:
            self.odd = not self.odd

    def _cut(self, end: int) -> None:
        self.cuts.append(Cut(self.start, end, self.start_line))
        self.start, self.start_line = end, self.line

    def finish(self, skip: int = 0) -> tuple[Cut, ...]:
        """All pieces; the first `skip` bytes, a byte order mark, belong to none."""
        if self.offset > self.start or not self.cuts:
            self._cut(self.offset)
        first = self.cuts[0]
        return (Cut(min(skip, first.end), first.end, 1), *self.cuts[1:])


@dataclass
class _Look:
    """Whether all that is fed is UTF-8 without a NUL, and which mark it starts with."""

    cutter: _Cutter
    valid: bool = True
    marked: bool = False
    decoder: codecs.IncrementalDecoder = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("strict"))

    def feed(self, block: bytes) -> None:
        if self.cutter.offset == 0:
            self.marked = block.startswith(codecs.BOM_UTF8)
        self.cutter.feed(block)
        if self.valid:
            try:
                self.decoder.decode(_without_ascii(block))
            except UnicodeDecodeError:
                self.valid = False
            self.valid = self.valid and b"\0" not in block

    @property
    def encoding(self) -> str:
        """Python's name of it, where it is UTF-8."""
        return "utf-8-sig" if self.marked else "utf-8"

    @property
    def mark_bytes(self) -> int:
        """Of the byte order mark."""
        return len(codecs.BOM_UTF8) if self.marked else 0

    def is_plain(self) -> bool:
        if self.valid:
            try:
                self.decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                self.valid = False
        return self.valid


def _look_through(path: Path, name: str, look: _Look) -> str:
    """Feed a file to `look`; its digest, which another thread reckons meanwhile where the file is large."""
    digest = hashlib.sha256()
    pieces = byte_pieces(path, name)
    for piece in itertools.islice(pieces, 1):
        look.feed(piece)
        digest.update(piece)
    with ThreadPoolExecutor(1) as hashing:  # it starts a thread only where there is more
        last: Future[None] | None = None
        for piece in pieces:
            if last is not None:
                last.result()  # at most two pieces are held
            last = hashing.submit(digest.update, piece)
            look.feed(piece)
    return "sha256:" + digest.hexdigest()


def _without_ascii(block: bytes) -> bytes:
    """A block that is UTF-8 just where this one is: each run of ASCII is one space.

    ASCII ends whatever stands before it, whichever character it is; decoding a text that is mostly ASCII takes ten
    times as long as finding what is not.
    """
    if block.isascii():
        return b" " if block else b""
    places = np.flatnonzero(np.frombuffer(block, np.uint8) > 127)
    if places.size * 4 > len(block):
        return block
    after_ascii = np.diff(places, prepend=-1) > 1
    kept = np.full(places.size + int(after_ascii.sum()), ord(" "), np.uint8)
    kept[np.arange(places.size) + np.cumsum(after_ascii)] = np.frombuffer(block, np.uint8)[places]
    return kept.tobytes() + (b" " if places[-1] < len(block) - 1 else b"")


def _survey_parquet(path: Path, name: str, copy: Path) -> Surveyed:
    plain = path
    if path.suffix.lower() in COMPRESSED:
        with copy.open("wb") as handle:
            for piece in byte_pieces(path, name):
                handle.write(piece)
        plain = copy
    foreign = foreign_file(plain, name)
    if foreign and "Parquet" not in foreign.message:
        raise InputError(foreign)
    damage = find_damage(plain)
    if damage:
        raise InputError(
            Problem(f"not a Parquet file that can be read: {damage}", "write it again, or export it as CSV", name)
        )
    try:
        rows = pl.scan_parquet(plain, glob=False, hive_partitioning=False).select(pl.len()).collect().item()
        digest, size = digest_file(path), plain.stat().st_size
    except OSError as error:
        raise InputError(
            Problem(f"it cannot be read: {error.strerror or error}", "check the file and its permissions", name)
        ) from error
    return Surveyed(name, plain, "parquet", digest, "", False, tuple(_row_ranges(rows, size)), size)


def _row_ranges(rows: int, size: int) -> Iterator[Cut]:
    """Ranges of rows of about 8 MiB each."""
    step = max(1, min(100_000, PIECE_BYTES * rows // max(1, PARQUET_GROWTH * size))) if rows else 1
    for start in range(0, max(rows, 1), step):
        yield Cut(start, min(start + step, rows), start + 1)
