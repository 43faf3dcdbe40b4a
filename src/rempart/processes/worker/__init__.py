"""A gateway worker: serves requests from an inherited listening socket. Start at ``build.py``."""
