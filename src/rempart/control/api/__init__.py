"""The JSON API below ``/api/``: one file per noun; paths, shapes and words, no decisions."""
