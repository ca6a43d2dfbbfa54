"""Builds every client, holds the transcript with each, and restarts the gateway under each example."""
