"""Builds and tests every client, holds the transcript with each, and gives each example trouble."""
