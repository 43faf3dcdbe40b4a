"""Words to the service manager: ready, reloading, stopping, still alive (sd_notify(3))."""

import contextlib
import os
import socket


class ServiceManager:
    """Sends to ``$NOTIFY_SOCKET`` where there is one; does nothing elsewhere."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        watchdog_us = environment.get("WATCHDOG_USEC", "")
        is_for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        wanted_s = int(watchdog_us) / 2e6 if watchdog_us.isdecimal() else 0.0
        self.watchdog_s = wanted_s if is_for_us and wanted_s > 0 else None
        """Seconds between two signs of life that the manager wants (half its limit); None: it wants none."""

    def say(self, state: str) -> None:
        """Send one state, such as ``READY=1``. A manager that does not listen is not our problem."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel,
        ):
            channel.setblocking(False)
            channel.sendto(state.encode(), address)
