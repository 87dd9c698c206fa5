# Airflow with Segue: one image for every service of docker-compose.yaml.
# Each tag has the digest of its index of platforms; the two change together:
#   docker buildx imagetools inspect python:3.12.14-slim-bookworm
ARG PYTHON_IMAGE=python:3.12.14-slim-bookworm@sha256:392307d22300de8b5986851a12d9176dfc0fc073e65bf6523ebd7dcbeb23564e

# hadolint ignore=DL3006  # the version is in the argument above
FROM ${PYTHON_IMAGE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /opt/venv

# The dependencies change rarely: their layer is kept while the code below changes. They are what
# runs needs; tests, linters and benchmarks are in requirements.lock alone.
WORKDIR /build
COPY docker/requirements.lock ./docker/requirements.lock
RUN pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: -r docker/requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY plugins ./plugins
RUN pip --python /opt/venv/bin/python install --no-build-isolation --no-deps .

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS runtime

# OpenShift runs images as any user of group 0, whom no file knows: what is written belongs to
# that group, and the user's name and home are said here.
RUN useradd --uid 50000 --gid 0 --home-dir /opt/airflow --no-create-home segue \
    && mkdir -p /opt/airflow /opt/segue/include/sample /var/lib/segue/state /var/lib/segue/sandbox \
    && chown -R segue:0 /opt/airflow /opt/segue /var/lib/segue \
    && chmod -R g=u /opt/airflow /opt/segue /var/lib/segue

ENV AIRFLOW_HOME=/opt/airflow \
    HOME=/opt/airflow \
    PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    USER=segue

COPY --from=build /opt/venv /opt/venv
WORKDIR /opt/segue
COPY dags ./dags
COPY include ./include
COPY docker/init.sh docker/database-url ./docker/
RUN python -m compileall -q dags

# by its number: a cluster that allows no root looks at that
USER 50000:0
CMD ["segue", "--help"]
