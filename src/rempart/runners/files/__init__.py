"""Model files: where they lie, and how they get there. Imports the standard library only.

Start reading at ``demo_model.py`` (the one model that we fetch), then ``source.py`` (what a
setting names).
"""
