"""Tokens of the project's tokenizer, and what a sample of rows says about all of them."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tokenizers import Tokenizer

from modelyard.data.quality.scripts import MAX_CHARACTERS
from modelyard.errors import InputError, Problem
from modelyard.evidence.interval import Interval
from modelyard.evidence.proportion import wilson
from modelyard.evidence.timing import percentile_interval

MAX_TOKENIZER_BYTES = 256 * 1024**2
"""The largest we know, of 262,144 words, has 33 MB."""
_BATCH_CHARACTERS = 1024**2
_NEXT = "name the tokenizer.json of the model: it lies in the model's folder, and save_pretrained writes it"


def count_tokens(texts: pl.Series, tokenizer_json: Path) -> pl.DataFrame:
    """Tokens of each text, without the special ones that a task adds; a text is cut at 1,048,576 characters.

    Args:
        texts: shape (rows,); a missing text is an empty one.
        tokenizer_json: a file of the `tokenizers` library.

    Returns:
        `tokens` and `unknown`, those of them that stand for what the vocabulary lacks; a tokenizer that falls back to
        bytes has none.

    Raises:
        InputError: the file is missing, too large, or no tokenizer.
    """
    tokenizer, unknown = open_tokenizer(tokenizer_json)
    texts = texts.fill_null("").str.head(MAX_CHARACTERS)
    ends = np.cumsum(texts.str.len_chars().to_numpy(), dtype=np.int64)
    cuts = [*np.flatnonzero(np.diff(ends // _BATCH_CHARACTERS, prepend=-1)), len(texts)] if len(texts) else []
    counted = np.zeros((len(texts), 2), dtype=np.int64)
    for start, end in pairwise(cuts):
        batch = tokenizer.encode_batch_fast(texts[int(start) : int(end)].to_list(), add_special_tokens=False)
        for row, encoding in enumerate(batch, int(start)):
            counted[row] = len(encoding), encoding.ids.count(unknown) if unknown is not None else 0
    return pl.DataFrame({"tokens": counted[:, 0], "unknown": counted[:, 1]})


def open_tokenizer(path: Path) -> tuple[Tokenizer, int | None]:
    """A tokenizer that neither cuts nor pads, and the identifier of its unknown token, None where it has none.

    Raises:
        InputError: the file is missing, too large, or no tokenizer.
    """
    try:
        size = path.stat().st_size
        if size > MAX_TOKENIZER_BYTES:
            raise InputError(Problem(f"{size} bytes, a tokenizer has at most {MAX_TOKENIZER_BYTES}", _NEXT, str(path)))
        content = path.read_text(encoding="utf-8")
        model = json.loads(content)["model"]
        tokenizer = Tokenizer.from_str(content)
    except OSError as error:
        raise InputError(Problem(f"it cannot be read: {error.strerror}", _NEXT, str(path))) from error
    except InputError:
        raise
    except Exception as error:  # the library raises bare Exception for what it cannot parse
        raise InputError(Problem(f"it is no tokenizer: {error}", _NEXT, str(path))) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if model.get("unk_id") is not None:
        return tokenizer, int(model["unk_id"])
    name = model.get("unk_token")
    return tokenizer, None if name is None else tokenizer.token_to_id(name)


def mean_interval(values: NDArray[np.float64], *, population: int, unit: str) -> Interval:
    """The mean over all rows, by a simple random sample of them without replacement.

    Student's t with the correction for a finite population: Cochran (1977), Sampling Techniques, 3rd edition, equation
    2.20. Good where the sample has more than 25 times the square of its skewness (his section 2.15): lengths of texts
    with a skewness of 5 want 625 rows.

    Args:
        values: shape (sampled rows,).
        population: rows in all, at least as many.
        unit: of the values.

    Raises:
        ValueError: fewer than 2 rows of a larger population, no row, or more rows than there are.
    """
    values = np.asarray(values, dtype=np.float64)
    n = _check(values.size, population)
    mean = float(values.mean())
    if n == population:
        return Interval.exact(mean, n=n, unit=unit)
    reach = _reach(values, population)
    return Interval(low=mean - reach, estimate=mean, high=mean + reach, n=n, unit=unit, method="student-t")


def share_interval(part: NDArray[np.float64], whole: NDArray[np.float64], *, population: int) -> Interval:
    """The share that a part has of the whole over all rows, such as unknown tokens of tokens; unit `fraction`.

    The ratio of two sums by the same sampled rows, its variance from the residuals: Cochran (1977), section 6.3. Where
    no sampled row has any of the part there are no residuals, and the upper end is Wilson's for the share of rows that
    have some, as if such a row were all of it.

    Args:
        part: shape (sampled rows,), between 0 and `whole`.
        whole: shape (sampled rows,).
        population: rows in all.

    Raises:
        ValueError: as `mean_interval`, or the whole is nothing.
    """
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    n = _check(part.size, population)
    if part.shape != whole.shape or whole.sum() <= 0:
        raise ValueError(f"a share needs one shape (rows,) and a whole above zero, not {part.shape} and {whole.shape}")
    share = float(part.sum() / whole.sum())
    if n == population:
        return Interval.exact(share, n=n, unit="fraction")
    if not part.any():
        return wilson(0, n)
    reach = _reach(part - share * whole, population) / float(whole.mean())
    return Interval(
        low=max(0.0, share - reach),
        estimate=share,
        high=min(1.0, share + reach),
        n=n,
        unit="fraction",
        method="student-t",
    )


def quantile_interval(values: NDArray[np.float64], percent: float, *, population: int, unit: str) -> Interval:
    """A percentile over all rows by a sample of them: order statistics, as for times (`evidence.timing`).

    Without the correction for a finite population, so wider than needed where much of it was sampled.

    Args:
        values: shape (sampled rows,).
        percent: between 0 and 100.
        population: rows in all.
        unit: of the values.

    Raises:
        ValueError: as `mean_interval`.
    """
    values = np.asarray(values, dtype=np.float64)
    n = _check(values.size, population)
    if n == population:
        return Interval.exact(float(np.quantile(values, percent / 100.0)), n=n, unit=unit)
    return percentile_interval(values, percent).model_copy(update={"unit": unit})


def _check(n: int, population: int) -> int:
    if not min(2, population) <= n <= population or population < 1:
        raise ValueError(f"{n} of {population} rows are no sample: it takes 2 or more, and no more than there are")
    return n


def _reach(values: NDArray[np.float64], population: int) -> float:
    """Half the width of the interval of a mean."""
    from scipy.special import stdtrit  # a third of a second to load, before a row is read

    n = values.size
    error = math.sqrt(float(values.var(ddof=1)) / n * (1.0 - n / population))
    return float(stdtrit(n - 1, 0.975)) * error
