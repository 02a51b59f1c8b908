"""The exposition, read by Prometheus' own parser."""

from prometheus_client.parser import text_string_to_metric_families

from modelyard.serving.metrics import Metrics
from modelyard.serving.queue import BatchDone


def values(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_batches_and_requests_are_added_up() -> None:
    metrics = Metrics("sha256:1", "小项目", "onnx")
    metrics.batch_done(BatchDone(rows=3, tokens=20, padded_tokens=30, seconds=0.02))
    metrics.batch_done(BatchDone(rows=1, tokens=5, padded_tokens=5, seconds=0.04))
    metrics.request_done("/predict", 200, 0.3)
    metrics.request_done("/info", 200, 0.1)
    found = values(metrics)
    assert found["modelyard_tokens_total[text]"] == 25
    assert found["modelyard_tokens_total[padding]"] == 10
    assert found["modelyard_batch_rows_sum"] == 4
    assert found["modelyard_batch_seconds_bucket[0.025]"] == 1
    assert found["request_processing_seconds_sum"] == 0.3
    assert found["modelyard_request_seconds_bucket[0.3][/predict][200]"] == 1
    assert found["modelyard_request_seconds_bucket[0.2][/predict][200]"] == 0
    assert found["modelyard_release_info[onnx][小项目][sha256:1]"] == 1


def test_two_services_in_one_process_do_not_share_figures() -> None:
    one, two = Metrics("1", "a", "onnx"), Metrics("2", "b", "onnx")
    one.failures.inc()
    assert values(one)["modelyard_engine_failures_total"] == 1
    assert values(two)["modelyard_engine_failures_total"] == 0
