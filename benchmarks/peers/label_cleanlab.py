"""cleanlab on given labels and held-out probabilities: `label_cleanlab.py IN.npz OUT.npz`, in its own environment.

python -m venv /tmp/peers/cleanlab && /tmp/peers/cleanlab/bin/pip install cleanlab==2.9.0

IN holds `given`, shape (rows,), and `probabilities`, shape (rows, classes). OUT holds, by filter, which rows cleanlab
finds, and `noise`: the share of wrong labels it estimates from the joint.
"""

import sys

import numpy as np
from cleanlab.count import compute_confident_joint
from cleanlab.filter import find_label_issues

FILTERS = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
)

with np.load(sys.argv[1]) as data:
    given, probabilities = data["given"], data["probabilities"].astype(np.float64)
joint = compute_confident_joint(given, probabilities, calibrate=True)
found = {name: find_label_issues(given, probabilities, filter_by=name, n_jobs=1) for name in FILTERS}
np.savez(sys.argv[2], noise=1 - np.trace(joint) / joint.sum(), **found)
