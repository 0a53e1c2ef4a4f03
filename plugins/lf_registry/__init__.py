"""Chat templates, datasets, recipes and tools for stock, unforked LLaMA-Factory.

Deliberately empty: every Python process imports this package at start-up (see ``autoload``).
"""
