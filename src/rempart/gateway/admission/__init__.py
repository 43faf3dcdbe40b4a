"""Steps 8 and 9: a slot for the exchange, and the replica it belongs to. Start at ``step.py``."""
