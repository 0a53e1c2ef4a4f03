"""PEFT's fine-tuning methods as a recipe key: what there is, what is refused and why."""
