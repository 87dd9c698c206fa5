-- Runs once, when the volume is empty. POSTGRES_DB has already made Airflow's own database;
-- the ledger gets its own, so that it can be backed up, moved and pruned apart from Airflow.
CREATE DATABASE segue;
