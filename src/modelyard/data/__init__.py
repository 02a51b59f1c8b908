"""Checking data: what is wrong with it, what was dropped and why, and the splits that everything else uses.

`check.py` is the stage: `reading/` finds and cuts the files, `mapping.py` sends every piece through the one function of
`features.py`, `meeting.py` finds what takes several rows, `placing.py` divides what is left, `counting.py` counts it,
`writing.py` writes it; `verdicts.py` and `card.py` say what came of it. The other rooms know one kind of trouble each
and nothing of the stage: `duplicates/`, `contamination/`, `personal/`, `labels/`, `quality/`. `change/` compares two
sets of rows, or one with its past.
"""
