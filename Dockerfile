# Airflow with Segue: one image for every service of docker-compose.yaml.
FROM python:3.12-slim

ENV AIRFLOW_HOME=/opt/airflow \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1

RUN useradd --uid 50000 --create-home segue \
    && mkdir -p /opt/airflow /opt/segue/include/sample /var/lib/segue/state /var/lib/segue/sandbox \
    && chown -R segue /opt/airflow /opt/segue /var/lib/segue

WORKDIR /opt/segue

# The dependencies change rarely: their layer is kept while the code below changes.
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY plugins ./plugins
COPY dags ./dags
COPY include ./include
COPY docker/init.sh ./docker/init.sh
# Editable, so that Airflow's plugins folder and the import path are the same files.
RUN pip install --no-cache-dir --no-build-isolation --no-deps --editable . \
    && python -m compileall -q plugins dags

USER segue
CMD ["segue", "--help"]
