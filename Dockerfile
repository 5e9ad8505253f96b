# Image for jobs with the packages of all rules, at the locked versions (docs/slurm.md). It has no code: jobs run the
# scripts of the clone that snakemake starts from.
#
#   docker build --tag cellferry:0.1.0 .                    complete: about 9 GB (an estimate), mostly torch and CUDA's libraries
#   docker build --target label --tag cellferry:0.1.0 .     for labels by a packed reference, without torch: 1.8 GB

FROM python:3.12-slim-bookworm AS base
# The image is read-only at run time, so byte code is compiled here.
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /opt/cellferry

FROM base AS label
COPY requirements-label.txt ./
RUN uv pip install --system --no-cache --compile-bytecode --no-deps --requirements requirements-label.txt

FROM base AS all
COPY pyproject.toml requirements.txt ./
# Without the development tools of the lock file.
RUN uv pip install --system --no-cache --compile-bytecode --constraint requirements.txt --requirements pyproject.toml
