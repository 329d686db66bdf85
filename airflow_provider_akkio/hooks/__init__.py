"""Airflow connections to Akkio."""
