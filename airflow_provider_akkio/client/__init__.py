"""Bytes: a blocking and an asynchronous client, which drive the conversations of :mod:`airflow_provider_akkio.api`."""
