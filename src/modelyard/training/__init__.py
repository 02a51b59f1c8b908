"""Fine-tuning: one readable loop, planned batches, measured precision."""
