"""What a dataset consists of: lengths, special characters, and where answers stand in their contexts."""
