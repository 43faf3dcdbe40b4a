"""What an operator can do, by noun. May be called by the API (and pages), knows nothing of HTTP."""
