"""Waits for what was started elsewhere."""
