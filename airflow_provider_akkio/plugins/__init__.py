"""What Airflow discovers through the entry point group ``airflow.plugins``."""
