"""LitServe with batching. `litserve_server.py fp32|int8 FOLDER PORT ROWS TIMEOUT`, run in an environment of its own.

fp32: torch on a Hugging Face folder. int8: the release's OpenVINO model, through the same calls that Modelyard makes.
"""

import json
import sys
from pathlib import Path
from typing import Any

import litserve as ls
import numpy as np
from tokenizers import Tokenizer

kind, folder, port, rows, timeout = (
    sys.argv[1],
    Path(sys.argv[2]),
    int(sys.argv[3]),
    int(sys.argv[4]),
    float(sys.argv[5]),
)


class Classifier(ls.LitAPI):
    """Texts in, logits out."""

    def setup(self, device: str) -> None:
        """Load the tokenizer and the model, in the worker."""
        config = json.loads((folder / "config.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(int(config["max_position_embeddings"]))
        self.tokenizer.enable_padding(pad_id=int(config.get("pad_token_id") or 0))
        if kind == "fp32":
            import torch
            from transformers import AutoModelForSequenceClassification

            self.model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
        else:
            import openvino

            settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}
            core = openvino.Core()
            compiled = core.compile_model(core.read_model(folder / "model.xml"), "CPU", settings)
            self.names = [one.get_any_name() for one in compiled.inputs]
            self.request = compiled.create_infer_request()

    def decode_request(self, request: dict[str, str]) -> str:
        """The text."""
        return request["inputs"]

    def predict(self, texts: list[str]) -> list[list[float]]:
        """Logits of a batch."""
        encoded = self.tokenizer.encode_batch(list(texts))
        ids = np.array([one.ids for one in encoded], dtype=np.int64)
        mask = np.array([one.attention_mask for one in encoded], dtype=np.int64)
        if kind == "fp32":
            import torch

            with torch.inference_mode():
                return self.model(
                    input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)
                ).logits.tolist()
        arrays = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        self.request.infer({name: arrays[name] for name in self.names})
        return self.request.get_output_tensor(0).data.tolist()

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        """One row of logits a request."""
        return output

    def encode_response(self, output: list[float]) -> dict[str, Any]:
        """The answer."""
        return {"logits": output}


if __name__ == "__main__":
    server = ls.LitServer(
        Classifier(max_batch_size=rows, batch_timeout=timeout), accelerator="cpu", workers_per_device=1
    )
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False)
