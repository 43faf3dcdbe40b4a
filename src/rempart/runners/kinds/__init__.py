"""One file per kind of runner: how its settings become a command line, and what it can do.

Imports settings, domain and the files of ``runners`` that decide. ``interface.py`` says what a kind
is; ``DESIGN.md`` beside it how to write another.
"""
