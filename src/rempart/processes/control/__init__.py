"""The control process: operators' API, system figures. Requests go on without it. Start at ``run.py``."""
