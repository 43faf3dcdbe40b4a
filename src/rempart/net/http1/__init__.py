"""An HTTP/1.1 server and client on httptools and asyncio protocols, for the data plane's hot path.

Bytes go from the upstream's ``data_received`` straight into the client's transport, without a task
switch per chunk; every buffer, count and time has a bound. It imports only ``base``.
Start reading at ``DESIGN.md``, then ``server.py`` and ``client.py``, which name all that others use.
"""
