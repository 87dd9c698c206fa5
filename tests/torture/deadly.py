"""A sandbox that kills the worker whose request it is serving."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable, Container
from typing import Any

from segue.sandbox.faults import ALL_KINDS, Fault, FaultKind, Faults
from segue.sandbox.server import Sandbox
from tests.torture.vendors import Vendor

Kill = Callable[[], None]


class DeadlyFaults(Faults):
    """Faults, and one more: at the n-th message the process that sends it is killed."""

    def __init__(self, vendor: Vendor, received: Callable[[], Container[str]]) -> None:
        super().__init__()
        self.refused = 0  # requests that met a fault
        self._vendor, self._received = vendor, received
        self._kill: Kill | None = None
        self._after_effect = False
        self._left = 0

    def arm(self, nth: int, kill: Kill, *, after_effect: bool) -> None:
        """Call ``kill`` at the n-th message from now, before or after it has had its effect."""
        self._kill, self._left, self._after_effect = kill, nth, after_effect

    def disarm(self) -> None:
        """Let everybody live."""
        self._kill = None

    def take(self, service: str, *, method: str, body: str = "", **more: Any) -> Fault | None:
        """Return the fault for a request, and kill its sender where it is time."""
        found = self._vendor.marks_in(body)
        if found and self._kill:
            self._left -= 1
            if self._left == 0:
                return self._die(found[0])
        kinds = more.pop("kinds", ALL_KINDS)
        fault = super().take(service, method=method, body=body, kinds=kinds, **more)
        self.refused += fault is not None
        return fault

    def _die(self, mark: str) -> Fault:
        kill, self._kill = self._kill, None
        assert kill is not None
        if not self._after_effect:
            kill()
            return Fault.model_validate({"service": self._vendor.service, "fault": "reset"})
        threading.Thread(target=self._kill_once_received, args=(mark, kill), daemon=True).start()
        late = FaultKind.TIME_OUT_AFTER_EFFECT  # the worker does not live to see the answer
        return Fault.model_validate({"service": self._vendor.service, "fault": late})

    def _kill_once_received(self, mark: str, kill: Kill) -> None:
        while mark not in self._received() and not self.closed.is_set():
            time.sleep(0.002)
        kill()


class DeadlySandbox(Sandbox):
    """A sandbox for one vendor's trial."""

    faults: DeadlyFaults

    def __init__(self, vendor: Vendor) -> None:
        super().__init__()
        self.faults = DeadlyFaults(vendor, lambda: vendor.received(self))

    def settle(self) -> None:
        """Wait until what dead workers had sent off has been served.

        Their bytes were in the server's hands before these requests, which one loop serves in turn.
        A real worker waits for the channel's longest call instead.
        """
        for _ in range(5):
            with urllib.request.urlopen(f"{self.url}/sandbox/faults") as answer:
                answer.read()
