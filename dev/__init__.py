"""Development tools: a local Airflow, the demo, the version matrix and the release build. Not part of the package."""
