"""Step 4: who is asking, and may they. One gate before every route. Start at ``step.py``."""
