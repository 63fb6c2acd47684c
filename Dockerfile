# dbt-flow with what it needs, and this project: for `serve`, and for steps on Kubernetes and AWS Batch (docs/remote.md).
FROM python:3.11-slim

WORKDIR /freight
# Everything at the versions that the tests ran with; they change less often than the code.
COPY requirements.lock ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY dbt_flow dbt_flow
COPY cards cards
RUN pip install --no-cache-dir --no-deps .

COPY dbt_flow.yml ./
COPY dags dags
COPY dbt_project dbt_project
COPY training training

# dbt reads its project and writes only beside: logs and locks of this machine go to .dbt_flow.
RUN useradd --uid 1000 --create-home freight && mkdir .dbt_flow && chown -R freight .dbt_flow dbt_project
USER freight
ENV METAFLOW_SKIP_INSTALL_DEPENDENCIES=1 PYTHONUNBUFFERED=1
VOLUME /freight/.dbt_flow

CMD ["dbt-flow", "serve", "--host", "0.0.0.0", "--port", "12000"]
