"""Main's care for the state that all processes share: opened first, kept tidy, and its lock never held for ever.

Each second it brings what was committed to the disk, frees the places of dead readers, ends what dead workers
hold, and forgets what is idle. All of it in threads of its own: the loop of main never waits for the lock.
A process that is stopped while it holds the lock blocks everyone who counts; it is ended after ``STALL_S``.
"""

import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import lmdb

from rempart.base.clock import Clock
from rempart.domain.errors import StateUnavailable
from rempart.processes.main.child import Child
from rempart.processes.messages import owner_name
from rempart.settings.model import Settings
from rempart.state.open import Shared, open_shared, shared_file
from rempart.state.shared import file_check
from rempart.state.shared.environment import StateFileRefused
from rempart.state.shared.lock_holder import LockHolder, is_waiting_for_disk, process_of
from rempart.state.shared.lockout.decide import Rules
from rempart.telemetry.logs import Log

UPKEEP_S = 1.0
STALL_S = 2.0
LOOK_S = 0.25
LOOKED_AT_MAX = 2000
"""Logs looked at each second for whether they are idle: a few milliseconds without the lock."""
FULL_RATIO = 0.9
"""Above this share of its largest size the file's growth is told, once."""

Living = Callable[[], list[Child]]


class SharedState:
    """The shared state as main keeps it.

    Args:
        instance: of this start of main; the owners of reservations of any other are dead.
        living: the children that live; asked in threads too.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        data_dir: Path,
        instance: str,
        clock: Clock,
        log: Log,
        living: Living,
    ) -> None:
        self._settings = settings
        self._data_dir = data_dir
        self._instance = instance
        self._clock = clock
        self._log = log
        self._living = living
        self._shared: Shared | None = None
        self._holder: LockHolder | None = None
        self._has_told_full = False
        self._has_told_trouble = False
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="shared state")

    def open(self) -> None:
        """Check the file if the machine was started since, open it, and end what processes before this start held.

        Blocks, for as long as it takes to read the file; before any child is started.

        Raises:
            StateFileRefused: it cannot be used and not be set aside; the message is for the operator.
        """
        path = shared_file(self._data_dir)
        embedded = self._settings.shared.url == "lmdb"
        if embedded:
            self._check(path)
        try:
            shared = open_shared(self._settings, self._data_dir, clock=self._clock)
        except StateUnavailable as error:
            raise StateFileRefused(str(error)) from error
        self._shared = shared
        environment = shared.environment
        if environment is None:
            return
        file_check.note_boot(path)
        self._holder = LockHolder(path.with_name(f"{path.name}-lock"))
        if not self._holder.learn(lambda: environment.transaction(write=True)):
            self._log.warning("lock_holder_unknown", then="the most silent worker is ended instead")
        self._forget_dead(shared)

    def replace(self, settings: Settings) -> None:
        """A reload brought new settings."""
        self._settings = settings

    async def run(self) -> None:
        """Care for it until cancelled."""
        shared = self._shared
        if shared is None or shared.environment is None:
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                self._each_second(self._sync, takes_lock=False), name="shared state to disk"
            )
            tasks.create_task(
                self._each_second(self._tidy, takes_lock=True), name="shared state tidied"
            )

    def close(self) -> None:
        """Bring all to the disk and let go of it; when no child lives that could hold the lock."""
        self._threads.shutdown(wait=True)
        if self._shared is None:
            return
        if self._shared.environment is not None:
            with suppress(lmdb.Error):
                self._shared.environment.sync()
        self._shared.close()
        if self._holder is not None:
            self._holder.close()

    def _check(self, path: Path) -> None:
        if not path.exists() or not path.stat().st_size or file_check.is_of_this_boot(path):
            return
        try:
            problem = file_check.problem_of(path)
        except (file_check.CheckTooSlow, OSError) as error:
            self._log.warning("shared_state_not_checked", reason=type(error).__name__)
            return
        if not problem:
            return
        try:
            aside = file_check.set_aside(path, self._clock.wall())
        except OSError as error:
            raise StateFileRefused(
                f"{path} is damaged ({problem}) and cannot be renamed: {error}. Move it away."
            ) from error
        self._log.error(
            "shared_state_set_aside",
            reason=problem,
            kept=str(aside),
            then="limits are counted from zero; keys are published anew from the database",
        )

    async def _each_second(self, job: Callable[[Shared], None], *, takes_lock: bool) -> None:
        assert self._shared is not None  # noqa: S101 - run() has looked
        while True:
            await asyncio.sleep(UPKEEP_S)
            running = asyncio.wrap_future(self._threads.submit(job, self._shared))
            try:
                if takes_lock:
                    await self._until_lock_moves(running)
                await asyncio.wait({running})
            except asyncio.CancelledError:
                running.cancel()  # the thread ends by itself; nobody asks how
                raise
            self._tell(running.exception())

    def _tell(self, error: BaseException | None) -> None:
        if error is None:
            self._has_told_trouble = False
        elif isinstance(error, StateUnavailable | lmdb.Error | OSError):
            if not self._has_told_trouble:  # tried again each second, told once
                self._log.error("shared_state_trouble", reason=f"{type(error).__name__}: {error}")
            self._has_told_trouble = True
        else:
            raise error

    # In threads

    def _sync(self, shared: Shared) -> None:
        assert shared.environment is not None  # noqa: S101 - run() has looked
        shared.environment.sync()
        shared.environment.forget_dead_readers()

    def _tidy(self, shared: Shared) -> None:
        environment = shared.environment
        assert environment is not None  # noqa: S101 - run() has looked
        with environment.transaction(write=True):
            pass  # whoever holds the lock is found out while we wait for it here
        self._forget_dead(shared)
        shared.limits.drop_idle(self._now_ms(), entries_max=LOOKED_AT_MAX)
        lockout = self._settings.lockout
        rules = Rules(
            lockout.failures, round(lockout.window_s * 1000), round(lockout.block_s * 1000)
        )
        shared.lockout.drop_idle(self._now_ms(), rules, entries_max=LOOKED_AT_MAX // 10)
        is_full = environment.used_bytes > FULL_RATIO * environment.size_bytes_max
        if is_full and not self._has_told_full:
            self._log.error(
                "shared_state_nearly_full",
                bytes=environment.used_bytes,
                bytes_max=environment.size_bytes_max,
                remedy="raise shared.size_bytes_max and restart",
            )
        self._has_told_full = is_full

    def _forget_dead(self, shared: Shared) -> None:
        owners = shared.limits.owners()
        # Asked after them: a child that holds something by then had been started before.
        alive = {owner_name(self._instance, child.name) for child in self._living()}
        now_ms = self._now_ms()
        for owner in owners:
            if owner not in alive:
                count = shared.limits.forget_owner(owner, now_ms)
                if count:
                    self._log.info("places_given_back", owner=owner, count=count)

    def _now_ms(self) -> int:
        return int(self._clock.wall().timestamp() * 1000)

    # In the loop

    async def _until_lock_moves(self, running: "asyncio.Future[None]") -> None:
        """Wait for the job; end whoever holds the lock all the while."""
        assert self._shared is not None  # noqa: S101 - run() has looked
        environment = self._shared.environment
        assert environment is not None  # noqa: S101 - run() has looked
        seen: tuple[int, int] | None = None
        since_s = self._clock.now()
        while True:
            done, _ = await asyncio.wait({running}, timeout=LOOK_S)
            if done:
                return
            now_s = self._clock.now()
            state = (self._holder_thread(), environment.last_transaction)
            if state != seen:
                seen, since_s = state, now_s
            elif now_s - since_s >= STALL_S:
                self._free_lock(state[0])
                seen = None

    def _holder_thread(self) -> int:
        return 0 if self._holder is None else self._holder.thread_id()

    def _free_lock(self, thread_id: int) -> None:
        children = self._living()
        if thread_id:
            pid = process_of(thread_id)
            holders = [child for child in children if child.pid == pid]
            if is_waiting_for_disk(thread_id) or not holders:
                self._log.warning("shared_state_stalled", pid=pid, reason="its lock is held")
                return
        else:
            now_s = self._clock.now()
            silent = [child for child in children if now_s - child.last_sign_s > STALL_S]
            holders = sorted(silent, key=lambda child: child.last_sign_s)[:1]
        for child in holders:
            self._log.error(
                "lock_holder_ended",
                name=child.name,
                reason=f"it held the lock of the shared state for more than {STALL_S:g} s",
            )
            child.signal(signal.SIGKILL)
