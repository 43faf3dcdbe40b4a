"""Step 10: bytes from a replica to the client, chunk by chunk. Start at ``step.py``."""
