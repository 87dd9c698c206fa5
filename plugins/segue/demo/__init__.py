"""``make demo`` and ``make up``: Segue at work on a real Airflow with the sample, on this machine."""
