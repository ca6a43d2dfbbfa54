"""Prints the folder of Python's googleapis-common-protos, if it is there."""

import importlib.util
from pathlib import Path

found = importlib.util.find_spec("google.rpc.status_pb2") if importlib.util.find_spec("google") else None
if found and found.origin:
    print(Path(found.origin).parents[2])
