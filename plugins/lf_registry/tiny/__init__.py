"""A model small enough to train on two CPU cores: it proves the pipeline, and nothing about quality."""
