"""Naming which slices got worse, once a gate over many of them has not passed."""

from scipy.stats import binom

LEVEL = 0.05


def paired_p_value(b: int, c: int) -> float:
    """One-sided exact McNemar p-value for "the candidate is worse": the chance of b or more out of b + c coin tosses.

    Args:
        b: rows that only the reference got right.
        c: rows that only the candidate got right.
    """
    return float(binom.sf(b - 1, b + c, 0.5))


def holm(p_values: dict[str, float]) -> list[str]:
    """Names rejected at a family-wise level of 5%, smallest p-value first.

    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6: 65-70.
    It names slices; it never lets one pass: every slice is judged at its own level.
    """
    ordered = sorted(p_values, key=lambda name: (p_values[name], name))
    rejected = []
    for rank, name in enumerate(ordered):
        if p_values[name] > LEVEL / (len(ordered) - rank):
            break
        rejected.append(name)
    return rejected
