"""Ids, times and counts around a request."""

import re

import pytest
from fastapi.testclient import TestClient


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("abc-1.2:3_4", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ("<x>", False), (None, False)],
)
def test_a_plain_id_is_kept_and_anything_else_replaced(client: TestClient, sent: str | None, kept: bool) -> None:
    response = client.get("/info", headers={"x-request-id": sent} if sent else {})
    found = response.headers["x-request-id"]
    assert (found == sent) if kept else re.fullmatch("[0-9a-f]{32}", found)
    assert float(response.headers["x-process-time"]) >= 0


def test_every_request_is_counted_once_and_made_up_paths_together(client: TestClient) -> None:
    for path in ("/a", "/b/" + "x" * 500, "/info"):
        client.get(path)
    client.post("/predict", json={"inputs": "a"})
    client.post("/predict", content=b"{")
    shown = client.get("/metrics").text
    assert 'modelyard_request_seconds_count{route="other",status="404"} 2.0' in shown
    assert 'modelyard_request_seconds_count{route="/info",status="200"} 1.0' in shown
    assert 'modelyard_request_seconds_count{route="/predict",status="200"} 1.0' in shown
    assert 'modelyard_request_seconds_count{route="/predict",status="400"} 1.0' in shown
    assert "request_processing_seconds_count 2.0" in shown
    assert "x" * 500 not in shown
