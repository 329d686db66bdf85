"""Akkio's API as plain Python: no I/O, and no Airflow except the base classes of the exceptions.

Each operation is a *flow*: a generator that yields requests and sleeps, receives responses, and returns a value. The
clients in :mod:`airflow_provider_akkio.client` run flows over HTTP.
"""
