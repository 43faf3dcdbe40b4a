"""The command line: one file per noun, each a thin skin over what does the work.

Start reading at ``main.py``. Modules here import nothing heavy at their top, so that ``--help``
stays below 0.3 s of CPU; what a command needs it imports when it runs. May import everything.
"""
