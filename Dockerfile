# Airflow with Segue: one image for every service of docker-compose.yaml.
# Another base, such as one pinned by its digest: --build-arg PYTHON_IMAGE=…@sha256:…
ARG PYTHON_IMAGE=python:3.12.13-slim-bookworm
FROM ${PYTHON_IMAGE}

ENV AIRFLOW_HOME=/opt/airflow \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1

# A user of its own in group 0, to which everything it writes belongs, too: OpenShift runs images
# as any user of that group.
RUN useradd --uid 50000 --gid 0 --create-home segue \
    && mkdir -p /opt/airflow /opt/segue/include/sample /var/lib/segue/state /var/lib/segue/sandbox \
    && chown -R segue /opt/airflow /opt/segue /var/lib/segue
RUN chgrp -R 0 /opt/airflow /opt/segue /var/lib/segue \
    && chmod -R g=u /opt/airflow /opt/segue /var/lib/segue

WORKDIR /opt/segue

# The dependencies change rarely: their layer is kept while the code below changes. They are what
# runs needs; tests, linters and benchmarks are in requirements.lock alone.
COPY docker/requirements.lock ./docker/requirements.lock
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r docker/requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY plugins ./plugins
COPY dags ./dags
COPY include ./include
COPY docker/init.sh ./docker/init.sh
RUN pip install --no-cache-dir --no-build-isolation --no-deps . \
    && python -m compileall -q dags

# by its number: a cluster that allows no root looks at that
USER 50000:0
CMD ["segue", "--help"]
