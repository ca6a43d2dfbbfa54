"""What the checkpoint service needs of the place where checkpoints are kept."""

from __future__ import annotations

from typing import Protocol

from gateway.model import Checkpoint, CheckpointKey, Commit, PartitionPage


class CheckpointStore(Protocol):
    """Durable checkpoints.

    Every call is followed to its end, within the store's own timeouts, whatever became of the caller. All raise
    :class:`gateway.errors.GatewayError`; a write whose fate is not known raises its subclass
    :class:`gateway.errors.OutcomeUnknown`, and after any other error nothing was changed.
    """

    def read(self, key: CheckpointKey) -> Checkpoint | None:
        """The checkpoint that stands, or None where the store says that there is none."""
        ...

    def commit(self, commit: Commit) -> None:
        """Returns when the checkpoint is stored."""
        ...

    def delete(self, key: CheckpointKey) -> None:
        """Returns when the checkpoint is gone."""
        ...

    def partitions(self, stream: str, app: str, after: str, limit: int) -> PartitionPage:
        """At most ``limit`` partitions of a stream after the one called ``after`` (empty: from the first)."""
        ...
