FROM python:3.11-slim-bookworm

RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends fonts-dejavu-core libopus0 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /srv/mixworker
COPY pyproject.toml constraints.txt README.md ./
COPY worker ./worker
RUN pip install --no-cache-dir --quiet -c constraints.txt .

RUN useradd --system --uid 10001 mixworker && mkdir /recordings && chown mixworker /recordings
USER mixworker
VOLUME /recordings
ENTRYPOINT ["mixworker"]
CMD ["--help"]
