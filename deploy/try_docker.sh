#!/usr/bin/env bash
# Build the image without a registry and launch one run through DockerRunLauncher.
# Needs root, a Docker server, debootstrap, a Postgres server and about 10 GB of disk.
# Usage: deploy/try_docker.sh   (BASE=<image> to build on an image that is there,
# WHEELS=<folder> for wheels that are there)
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-.venv/bin/python}

if [ -z "${BASE:-}" ]; then
    echo "== base image from Debian packages and the Python of $python"
    BASE=debian-python
    libraries=ca-certificates,libssl3,libffi8,libsqlite3-0,libbz2-1.0,liblzma5,zlib1g
    libraries=$libraries,libreadline8,libncursesw6,libuuid1,libgdbm6,libexpat1
    debootstrap --variant=minbase --include="$libraries" bookworm "$work/root"
    prefix=$("$python" -c "import sys; print(sys.base_prefix)")
    tar -C "$prefix" --exclude=site-packages --exclude=test --exclude=__pycache__ \
        -c bin lib | tar -C "$work/root/usr/local" -x --no-same-owner
    chroot "$work/root" ldconfig
    tar -C "$work/root" -c . | docker import - "$BASE"
    rm -rf "$work/root"
fi

echo "== build context, with wheels so that the build asks no network"
mkdir -p "$work/context/deploy"
cp -r imaging_platform notebooks requirements.lock pyproject.toml README.md LICENSE \
    dagster.yaml workspace.yaml "$work/context/"
cp deploy/dagster.yaml deploy/workspace.yaml deploy/Dockerfile "$work/context/deploy/"
if [ -n "${WHEELS:-}" ]; then
    cp -rl "$WHEELS" "$work/context/deploy/wheels" 2>/dev/null \
        || cp -r "$WHEELS" "$work/context/deploy/wheels"
else
    "$python" -m pip wheel --quiet --wheel-dir "$work/context/deploy/wheels" \
        --requirement requirements.lock hatchling
fi

echo "== image"
# The older builder is in every Docker server; the Dockerfile needs nothing newer.
DOCKER_BUILDKIT=0 docker build --quiet --network none --build-arg "BASE=$BASE" \
    --tag imaging_platform --file "$work/context/deploy/Dockerfile" "$work/context"
docker image ls imaging_platform

echo "== one run"
"$python" -m pytest -rs tests/deploy/test_docker.py
