"""The model card: metadata that the Hub accepts, the base model's licence, and a body that can be followed."""
