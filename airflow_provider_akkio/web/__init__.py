"""The tab of a training and the list of all trainings in Airflow's UI. Only the API server imports this package."""
