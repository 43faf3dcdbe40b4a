"""Small things that know nothing of our trade: clock, ids, secrets. Imports nothing of Rempart."""
