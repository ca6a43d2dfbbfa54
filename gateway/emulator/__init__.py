"""An emulator of DIS: a real HTTP server that verifies real signatures, over a real store.

It knows the calls that keep checkpoints, and those that make streams and apps as the published SDKs send them. What
goes beyond DIS, such as faults on demand, is apart under ``/_emulator/``.
"""

from gateway.emulator.faults import Fault, Kind
from gateway.emulator.journal import Recorded
from gateway.emulator.server import Emulator

__all__ = ["Emulator", "Fault", "Kind", "Recorded"]
