"""From a file's bytes to text: decompressed within limits, in an encoding that is known and reported."""

import codecs
import gzip
import itertools
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import charset_normalizer
import zstandard

from modelyard.data.problems import LEAVE_OUT
from modelyard.data.reading.double_byte import WIDER, find_double_byte
from modelyard.data.reading.kinds import foreign_problem
from modelyard.errors import InputError, Problem

MAX_TEXT_BYTES = 1024**4
"""Decompressed size of one file. It is never held in memory, but a copy may be made on disk."""
BOMB_RATIO = 200
"""Text compresses 3 to 20 times, logs up to about 100; gzip can reach 1,032 and zstd far more only on filler."""
BOMB_FLOOR_BYTES = 64 * 1024**2
_PIECE_BYTES = 1024**2
_ZSTD_PIECE_BYTES = 4096  # zstd may expand one compressed piece 30,000 times
_SAMPLE_BYTES = 64 * 1024

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LEGACY = ["gb18030", "cp1252", "big5", "cp932", "euc_kr", "cp1251", "cp1250", "latin_1"]
"""Tried where a file is not UTF-8; of equally likely ones the first here is taken, and reported."""
BROKEN = re.compile("[\0\ud800-\udfff]")
"""What stands for no character: NUL, half of a surrogate pair, a byte that is not UTF-8 (PEP 383)."""
BINARY_SHARE = 0.1
_NAMED_LINES = 3
_WESTERN = ["cp1252", "cp1250", "latin_1"]
_POLISH = re.compile(rb"[A-Za-z][\xb3\xb9\xba\xbe\xbf](?=[a-z])")
"""Inside a word these are letters of Central Europe (ł, ą, ş, ľ, ż) and no cubes, quarters or question marks."""
_POLISH_LEAST = 3


def read_bytes(path: Path, name: str) -> bytes:
    """All of `byte_pieces`: for files that are known to be small."""
    return b"".join(byte_pieces(path, name))


def byte_pieces(path: Path, name: str) -> Iterator[bytes]:
    """A file's bytes in pieces of up to 1 MiB, decompressed by the ending of its name.

    Args:
        path: the file.
        name: what problems call it.

    Raises:
        InputError: it cannot be read, is cut off or damaged, or grows beyond the limits.
    """
    try:
        stored, size = path.stat().st_size, 0
        for piece in _pieces(path):
            size += len(piece)
            if size > MAX_TEXT_BYTES:
                raise InputError(
                    Problem(f"it holds more than {MAX_TEXT_BYTES} bytes of text", "split it into smaller files", name)
                )
            if size > BOMB_FLOOR_BYTES and size > BOMB_RATIO * stored:
                raise InputError(
                    Problem(
                        f"it grows more than {BOMB_RATIO} times when decompressed, as a decompression bomb does",
                        "decompress it yourself if you trust it",
                        name,
                    )
                )
            yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise InputError(
            Problem(f"the compressed file is cut off or damaged: {error}", "copy or download it again", name)
        ) from error
    except OSError as error:
        raise InputError(
            Problem(f"it cannot be read: {error.strerror or error}", "check the file and its permissions", name)
        ) from error


def _pieces(path: Path) -> Iterator[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".zst":
        yield from _zstd_pieces(path)
        return
    with gzip.open(path, "rb") if suffix == ".gz" else path.open("rb") as handle:
        while piece := handle.read(_PIECE_BYTES):
            yield piece


def _zstd_pieces(path: Path) -> Iterator[bytes]:
    """Frame by frame: the library's own stream reader gives a cut-off file's first half without a word."""
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    with path.open("rb") as handle:
        while piece := handle.read(_ZSTD_PIECE_BYTES):
            while piece:
                if frame.eof:
                    frame = decompressor.decompressobj()
                yield frame.decompress(piece)
                piece = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise EOFError("the last frame has no end")


def decode_text(data: bytes, name: str, *, broken_lines_pass: bool = False) -> tuple[str, str]:
    """Text of a file and the encoding it was read in.

    A byte order mark decides; else strict UTF-8; else UTF-16 without a mark, known by its line ends; else UTF-8 with
    some broken characters, where nearly all others are whole; else the likeliest of the encodings that Windows and East
    Asian systems write, a double-byte one with a damaged place before any other alphabet. Nothing is replaced.

    Args:
        data: of the file, decompressed.
        name: what problems call it.
        broken_lines_pass: lines with a `BROKEN` character are left to the caller; a byte that does not fit is one of
            U+DC80 to U+DCFF. A file in which they are many is refused all the same.

    Returns:
        The text without a byte order mark; the encoding's Python name.

    Raises:
        InputError: the file is no text; its lines with broken characters; or no encoding fits.
    """
    foreign = foreign_problem(data, name)
    if foreign:
        raise InputError(foreign)
    for encoding, errors in _candidates(data):
        try:
            text = data.decode(encoding, errors)
        except UnicodeDecodeError:
            continue
        if "\0" in text or errors != "strict":
            _refuse_broken(text, name, few_pass=broken_lines_pass)
        return text, encoding
    raise InputError(Problem("its bytes are text in no encoding that is known here", "save it as UTF-8", name))


def transcode(path: Path, name: str, target: Path, *, broken_lines_pass: bool = False) -> tuple[str, bool]:
    """`decode_text` for a file too large to hold: decoded piece by piece and written to `target` as UTF-8.

    The encodings to try come from the file's first 128 KiB and its first lines that are not ASCII.

    Args:
        path: the file, not compressed.
        name: what problems call it.
        target: where the UTF-8 text goes; `BROKEN` characters as in `decode_text`, surrogates passed through.
        broken_lines_pass: as in `decode_text`.

    Returns:
        The encoding's Python name; whether a `BROKEN` character stands in `target`.

    Raises:
        InputError: as `decode_text`; of many lines with broken characters the first three are named.
    """
    for encoding, errors in _candidates(_head_and_sample(path, name)):
        lines: list[tuple[int, str]] = []
        try:
            count, broken = _transcode_as(path, name, target, encoding, errors, lines)
        except UnicodeDecodeError:
            continue
        if broken:
            _refuse_lines(lines, broken, count, name, few_pass=broken_lines_pass)
        return encoding, broken > 0
    raise InputError(Problem("its bytes are text in no encoding that is known here", "save it as UTF-8", name))


def _transcode_as(
    path: Path, name: str, target: Path, encoding: str, errors: str, lines: list[tuple[int, str]]
) -> tuple[int, int]:
    """Write the file decoded so; all its lines and those with a broken character, of which three go into `lines`."""
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    count, broken, rest = 0, 0, ""
    with target.open("wb") as handle:
        for piece in itertools.chain(byte_pieces(path, name), [b""]):
            text = rest + decoder.decode(piece, final=not piece)
            whole, end, rest = text.rpartition("\n") if piece else (text, "", "")
            for number, line in enumerate(whole.split("\n"), start=count + 1) if BROKEN.search(whole) else ():
                if found := BROKEN.search(line):
                    broken += 1
                    if len(lines) < _NAMED_LINES:
                        lines.append((number, found[0]))
            count += (whole + end).count("\n") + (not piece and bool(whole))
            handle.write((whole + end).encode("utf-8", "surrogatepass"))
    return count, broken


def _head_and_sample(path: Path, name: str) -> bytes:
    """A large file's first 128 KiB and, behind them, some 64 KiB of its later lines that are not ASCII."""
    head, found, rest = b"", [], b""
    size = 0
    for piece in byte_pieces(path, name):
        if not head:
            head = piece[: 2 * _SAMPLE_BYTES]
        *lines, rest = (rest[-_SAMPLE_BYTES:] + piece).split(b"\n")
        if not piece.isascii():
            for line in lines:
                if not line.isascii():
                    found.append(line)
                    size += len(line)
        if size > _SAMPLE_BYTES:
            break
    data = b"\n".join([head, *found])
    return data if len(data) % 2 == 0 else data + b"\n"


def _refuse_broken(text: str, name: str, *, few_pass: bool) -> None:
    """Name the lines that hold what no text does: up to three one by one, more of them counted."""
    every = text.split("\n")
    lines = [(number, found[0]) for number, line in enumerate(every, start=1) if (found := BROKEN.search(line))]
    _refuse_lines(lines, len(lines), len(every), name, few_pass=few_pass)


def _refuse_lines(lines: Sequence[tuple[int, str]], broken: int, count: int, name: str, *, few_pass: bool) -> None:
    """Complain about `broken` of `count` lines, of which the first are given with the character found there."""
    binary = broken > _NAMED_LINES and broken >= BINARY_SHARE * count
    if few_pass and not binary:
        return
    first = ", ".join(str(number) for number, _ in lines[:_NAMED_LINES])
    if binary:
        message = f"{broken:,} of its {count:,} lines hold bytes that no text does, the first are {first}"
        next_step = "name a file of text, or export this one again as CSV UTF-8"
        raise InputError(Problem(f"{message}: it is a binary file or text of another encoding", next_step, name))
    if broken > _NAMED_LINES:
        message = f"{broken:,} lines hold bytes that no text does, the first are {first}"
        raise InputError(Problem(message, f"export the file again, or {LEAVE_OUT}", f"{name}:{lines[0][0]}"))
    next_step = f"export the file again, or {LEAVE_OUT}"
    raise InputError([Problem(broken_character(sign), next_step, f"{name}:{number}") for number, sign in lines])


def broken_character(sign: str) -> str:
    """What is wrong with a line that holds a `BROKEN` character."""
    if sign == "\0":
        return "the line holds a NUL byte, which no text does"
    if "\udc80" <= sign <= "\udcff":
        return f"the line holds the byte 0x{ord(sign) - 0xDC00:02x}, which does not fit the encoding of the rest"
    return "the line holds half of a surrogate pair, which is no character"


def _candidates(data: bytes) -> Iterator[tuple[str, str]]:
    """Encodings to try, each with how its errors are handled."""
    marked = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    if marked:
        yield marked, "strict"
        if marked == "utf-8-sig":
            yield marked, "surrogateescape"
        return
    yield from ((encoding, "strict") for encoding in _unmarked_utf16(data))
    yield "utf-8", "strict"
    sample = _sample(data)
    if _nearly_utf8(sample):
        yield "utf-8", "surrogateescape"
    double_byte = find_double_byte(sample)
    if double_byte:  # a damaged place must not make another alphabet of it all
        wider = WIDER.get(double_byte, double_byte)
        yield from ((double_byte, "strict"), (wider, "strict"), (wider, "surrogateescape"))
    yield from ((encoding, "strict") for encoding in _legacy(sample))


def _nearly_utf8(sample: bytes) -> bool:
    """Whether nine in ten characters above ASCII are whole ones of UTF-8, as in a file with a damaged place.

    Text of another encoding is hardly ever valid: its bytes above ASCII follow other rules.
    """
    text = sample.decode("utf-8", "surrogateescape")
    broken = sum(map(len, re.findall("[\udc80-\udcff]+", text)))
    whole = sum(map(len, re.findall("[^\0-\x7f\udc80-\udcff]+", text)))
    return whole > 9 * broken


def _legacy(sample: bytes) -> Iterator[str]:
    """Encodings other than Unicode, likely ones first."""
    if _isolated(sample):
        # "Käse" in cp1252 is valid GBK as well, and no statistic of so few bytes can tell
        likely = _WESTERN if len(_POLISH.findall(sample)) < _POLISH_LEAST else ["cp1250", *_WESTERN]
        plausible = [name for name in likely if charset_normalizer.from_bytes(sample, cp_isolation=[name]).best()]
        yield from (*plausible, *likely)
        return
    matches = charset_normalizer.from_bytes(sample, cp_isolation=_LEGACY)
    best = matches.best()
    equal = {
        encoding
        for match in matches
        if best and match.chaos <= best.chaos and match.coherence >= best.coherence
        for encoding in (match.encoding, *match.could_be_from_charset)
    }
    # where it dares no guess, the first that decodes every byte
    yield from (encoding for encoding in _LEGACY if encoding in equal or not equal)


def _isolated(sample: bytes) -> bool:
    """Whether most bytes above ASCII stand alone between ASCII ones, as Western letters do.

    In double-byte encodings they come in runs: the first byte of a character is above ASCII, most second ones too.
    """
    runs = re.findall(rb"[\x80-\xff]+", sample)
    return 2 * sum(len(run) == 1 for run in runs) > len(runs)


def _unmarked_utf16(data: bytes) -> Iterator[str]:
    """In UTF-16 every line end has a NUL beside it; a stray NUL in other text is not at every one."""
    head = data[: 2 * _SAMPLE_BYTES]
    ends = head.count(b"\n")
    if not ends or b"\0" not in head or len(data) % 2:
        return
    if head.count(b"\n\0") == ends:
        yield "utf-16-le"
    elif head.count(b"\0\n") == ends:
        yield "utf-16-be"


def _sample(data: bytes) -> bytes:
    """The first lines that are not ASCII: the others say nothing about the encoding."""
    lines, size = [], 0
    for line in data.split(b"\n"):
        if not line.isascii():
            lines.append(line)
            size += len(line)
            if size > _SAMPLE_BYTES:
                break
    return b"\n".join(lines)
