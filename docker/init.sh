#!/usr/bin/env bash
# Prepare what the other services share: both schemas, the sample and the login to Airflow's UI.
# Every step may run again.
set -euo pipefail

airflow db migrate
segue db upgrade
python -m segue.sample "${SEGUE_HOME}/sample/customers"

# Airflow's simple auth manager reads this file; without it, it would make up a password.
umask 077
python -c 'import json, pathlib as p; print(json.dumps({"admin": p.Path("/run/secrets/airflow_admin_password").read_text().rstrip("\r\n")}))' \
  > "${AIRFLOW_HOME}/simple_auth_manager_passwords.json.generated"
