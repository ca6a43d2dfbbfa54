"""The command ``dis-gateway``: one module per family of commands."""

from gateway.cli.root import main

__all__ = ["main"]
