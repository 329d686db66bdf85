"""Akkio as values: requests to JSON, JSON to typed results, which URLs are refused, when trying again can help.

Nothing here opens a socket, and nothing but the base classes of :mod:`airflow_provider_akkio.exceptions` comes from
Airflow.
"""
