"""The embedded runner: llama.cpp in a process of its own, behind a small HTTP server of ours.

Run as ``python -m rempart.runners.llama_cpp_server CONFIG.json``. The library's own HTTP door cannot
stop unstreamed calls and prefill, so this asks its in-process calls, whose callback can. May import
what ``runners`` may; only ``engine.py`` imports the library. Start reading at ``app.py`` (a request's
way), then ``generation.py`` (how a thread of the engine and the event loop meet).
"""
