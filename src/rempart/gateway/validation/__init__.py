"""Step 5: what is asked for, checked before anything is spent on it. Start at ``body.py``."""
