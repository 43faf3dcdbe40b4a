"""The operators' side: an API over what they can do with the running server.

``actions/`` holds what operators can do, one file per noun; ``api/`` is a skin over it, so that the
command line, the API and later the pages do the same thing. Runs in a process of its own: requests
go on without it. May import ``runners`` and below. Start reading at ``app.py``.
"""
