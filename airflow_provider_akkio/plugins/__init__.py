"""What Airflow finds of the package by itself."""
