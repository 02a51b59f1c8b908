"""Making a project: settings guessed from the data file, pipeline, keys, Git and DVC, the base model."""
