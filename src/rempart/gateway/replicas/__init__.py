"""Connections to replicas, and what their failures mean; for every part of the gateway that calls one."""
