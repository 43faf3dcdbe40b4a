"""One endpoint each: from the request's bytes to a call for a runner, or to an answer of our own.

A new endpoint is a file here and a row in ``gateway/routes.py``. Start at ``chat.py``; what clients get
of a runner's stream is in ``answers.py``.
"""
