"""What a task means: how its rows are encoded, its loss and metric, how its answers are read."""
