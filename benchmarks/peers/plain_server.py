"""The handler that guides show: FastAPI, async, torch in fp32, one request at a time. `plain_server.py MODEL PORT`."""

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder, port = sys.argv[1], int(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
app = FastAPI()


class Question(BaseModel):
    """One text."""

    inputs: str


@app.post("/predict")
async def predict(question: Question) -> dict[str, list[float]]:
    """Logits of one text."""
    encoded = tokenizer(
        question.inputs, return_tensors="pt", truncation=True, max_length=model.config.max_position_embeddings
    )
    with torch.inference_mode():
        return {"logits": model(**encoded).logits[0].tolist()}


uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
