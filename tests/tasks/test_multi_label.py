"""Losses as torch's own class has them, and answers by hand."""

import numpy as np
import pytest
import torch

from modelyard.tasks.multi_label import exact, losses, marks

LOGITS = np.array([[2.0, -1.0, 0.0], [-0.5, 3.0, 4.0], [-9.0, -9.0, -9.0]], dtype=np.float32)
LABELS = np.array([[1, 0, 0], [1, 1, 1], [0, 0, 0]], dtype=np.int8)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_mean_of_the_rows_is_that_of_torch(dtype: torch.dtype) -> None:
    logits, labels = torch.tensor(LOGITS).to(dtype), torch.tensor(LABELS)
    found = losses(logits, labels)
    wide = torch.promote_types(dtype, torch.float32)
    assert found.shape == (3,) and found.dtype == wide
    torch.testing.assert_close(found.mean(), torch.nn.BCEWithLogitsLoss()(logits.to(wide), labels.to(wide)))


def test_a_row_by_hand() -> None:
    found = losses(torch.tensor(LOGITS), torch.tensor(LABELS))
    assert found[0].item() == pytest.approx((np.log1p(np.exp(-2)) + np.log1p(np.exp(-1)) + np.log(2)) / 3)


def test_a_far_logit_loses_what_it_is_off_by() -> None:
    found = losses(torch.tensor([[1e4, -1e4]]), torch.tensor([[0, 0]]))
    assert found.tolist() == [5e3]


def test_labels_of_more_than_even_chance_are_given() -> None:
    truth, given = marks(LOGITS, LABELS)
    assert given.tolist() == [[True, False, False], [False, True, True], [False, False, False]]  # 0: a chance of 1/2
    assert truth.tolist() == (LABELS == 1).tolist()
    assert exact(LOGITS, LABELS).tolist() == [True, False, True]
