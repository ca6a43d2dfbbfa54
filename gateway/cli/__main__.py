"""``python -m gateway.cli`` is ``dis-gateway``."""

from gateway.cli import main

main()
