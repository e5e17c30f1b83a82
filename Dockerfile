# Runs as it is with a read-only root, no capabilities and any network: what is written goes to
# /spool, /recordings, /var/lib/mixworker (the control plane's) and /tmp.
# `docker build -t mixworker .`; name it by digest to the launchers.
FROM python:3.11-slim-bookworm

RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends fonts-dejavu-core libopus0 \
    && rm -rf /var/lib/apt/lists/*

# The launchers start workers under this number, whatever the image says.
RUN groupadd --system --gid 10001 mixworker \
    && useradd --system --uid 10001 --gid mixworker --no-create-home --home-dir /tmp mixworker \
    && install -d -o mixworker -g mixworker -m 0750 /spool /recordings /var/lib/mixworker

COPY pyproject.toml constraints.txt README.md /src/
COPY worker /src/worker
RUN pip install --no-cache-dir --quiet -c /src/constraints.txt "/src[postgresql,docker,kubernetes]" && rm -rf /src

USER 10001:10001
WORKDIR /recordings
# Nothing can be written beside the modules, and the only state outside a job is its spool.
ENV PYTHONDONTWRITEBYTECODE=1 \
    MIXWORKER_SPOOL__DIRECTORY=/spool
ENTRYPOINT ["mixworker"]
CMD ["--help"]
