"""The models' processes: started, watched, restarted, ended, and who may use their slots.

Runs inside main, so it imports msgspec, the standard library and our own code only. Others speak to
it through ``interface.py``; start reading at ``lifecycle.py`` (the states), then ``supervisor.py``.
"""
