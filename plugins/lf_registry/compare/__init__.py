"""The same questions before and after a fine-tuning: answers, numbers with their uncertainty, one page."""
