"""Send HTTP requests: a blocking and an asynchronous client, which drive the flows of the ``api`` package."""
