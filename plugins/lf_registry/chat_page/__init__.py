"""``lf-registry demo``: a chat page with a model before and after its training, side by side."""
