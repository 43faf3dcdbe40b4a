"""Counting requests, tokens, cost and requests at a time, exactly, over all processes."""
