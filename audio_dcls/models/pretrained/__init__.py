"""Start a model from trained weights: read them, fit them to the model, and report what was loaded."""
