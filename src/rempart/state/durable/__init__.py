"""What must outlive everything: keys, projects and the audit log, in SQLite or PostgreSQL.

Only control (or a command while no server runs) opens it; the request's way never does. Start
reading at ``interface.py``.
"""
