"""``lf-registry estimate``: memory, time, money and disk of a training recipe, from the model's config.json alone."""
