"""Trainings and uploads while Akkio, or a component of Airflow, fails (``make chaos``)."""
