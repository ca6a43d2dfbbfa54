"""What the checkpoint service needs of the place where checkpoints are kept."""

from __future__ import annotations

from typing import Protocol

from gateway.model import Checkpoint, CheckpointKey, Commit


class CheckpointStore(Protocol):
    """Durable checkpoints. A read keeps to its ``deadline``, on the monotonic clock in seconds; a write that was begun
    is followed to its end, within the store's own timeouts, whatever became of the caller.

    All three raise :class:`gateway.errors.GatewayError`; a write whose fate is not known raises its subclass
    :class:`gateway.errors.OutcomeUnknown`, and after any other error nothing was changed.
    """

    def read(self, key: CheckpointKey, deadline: float) -> Checkpoint | None:
        """The checkpoint that stands, or None where the store says that there is none."""
        ...

    def commit(self, commit: Commit) -> None:
        """Returns when the checkpoint is stored."""
        ...

    def delete(self, key: CheckpointKey) -> None:
        """Returns when the checkpoint is gone."""
        ...
