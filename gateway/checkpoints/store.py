"""What the checkpoint service needs of the place where checkpoints are kept."""

from __future__ import annotations

from typing import Protocol

from gateway.deadline import Until, forever
from gateway.model import Checkpoint, CheckpointKey, Commit, PartitionPage
from gateway.trace import Traces, untraced


class CheckpointStore(Protocol):
    """Durable checkpoints.

    What was sent is followed to its end, within the store's own timeouts, whatever became of the caller; ``until``
    bounds what is done before it is sent, and that it is sent again; ``traces`` are of those for whom. All raise
    :class:`gateway.errors.GatewayError`; a write whose fate is not known raises its subclass
    :class:`gateway.errors.OutcomeUnknown`, and after any other error nothing was changed.
    """

    def read(self, key: CheckpointKey, until: Until = forever, traces: Traces = untraced) -> Checkpoint | None:
        """The checkpoint that stands, or None where the store says that there is none."""
        ...

    def commit(self, commit: Commit, until: Until = forever, traces: Traces = untraced) -> None:
        """Returns when the checkpoint is stored."""
        ...

    def delete(self, key: CheckpointKey, until: Until = forever, traces: Traces = untraced) -> None:
        """Returns when the checkpoint is gone."""
        ...

    def partitions(
        self, stream: str, app: str, after: str, limit: int, until: Until = forever, traces: Traces = untraced
    ) -> PartitionPage:
        """At most ``limit`` partitions of a stream after the one called ``after`` (empty: from the first)."""
        ...
