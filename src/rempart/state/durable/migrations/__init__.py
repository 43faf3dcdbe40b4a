"""The schema's history: one revision a file in ``versions``, read by Alembic and never changed once released.

A revision is named ``pre_…`` or ``post_…``: to be applied before or after the code that needs it runs everywhere.
"""
