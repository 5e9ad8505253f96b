# The packages of all rules, at the locked versions, as an image for jobs (docs/slurm.md). The code is not in it: jobs run
# the scripts of the clone that snakemake is started from.
#
#   docker build --tag cellferry:0.1.0 .                    everything: 9 GB, most of it torch and CUDA's libraries
#   docker build --target label --tag cellferry:0.1.0 .     what labels by a packed reference as it is: 1.5 GB

FROM python:3.12-slim-bookworm AS base
# The image is read-only where it runs, so byte code is compiled here.
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /opt/cellferry

FROM base AS label
COPY requirements-label.txt ./
RUN uv pip install --system --no-cache --compile-bytecode --no-deps --requirements requirements-label.txt

FROM base AS all
COPY pyproject.toml requirements.txt ./
# Without the developers' tools, which the lock file has too.
RUN uv pip install --system --no-cache --compile-bytecode --constraint requirements.txt --requirements pyproject.toml
