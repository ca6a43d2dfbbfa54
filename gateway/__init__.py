"""The DIS Checkpoint Gateway: a gRPC sidecar that keeps consumer checkpoints of DIS streams."""
