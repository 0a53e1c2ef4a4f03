"""Merge LoRA adapters into a base model at the speed of copying it, in bounded memory."""
