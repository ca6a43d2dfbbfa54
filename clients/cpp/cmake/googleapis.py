"""Prints the folder that Python's googleapis-common-protos has its protos in; nothing if it is not installed."""

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

with suppress(ModuleNotFoundError):
    found = find_spec("google.rpc.status_pb2")
    if found and found.origin:
        print(Path(found.origin).parents[2])
