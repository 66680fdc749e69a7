# The Striate server, for CPU and GPU alike: the torch wheel that the package index serves for Linux brings the CUDA libraries along (several
# GB), and leaving them out would take another index. Without a GPU they lie idle, and the server computes on the CPU.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements/uv.txt requirements/server.txt requirements/
RUN pip install --no-cache-dir --root-user-action ignore --require-hashes --requirement requirements/uv.txt \
 && uv venv --no-project --python /usr/local/bin/python /opt/striate \
 && uv pip sync --no-cache --python /opt/striate --require-hashes requirements/server.txt
COPY pyproject.toml README.md LICENSE ./
COPY clients clients
COPY interp interp
COPY service service
RUN uv pip install --no-cache --python /opt/striate --no-deps --compile-bytecode ./clients .

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="striate-server" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/striate --shell /usr/sbin/nologin striate \
 && install --directory --owner striate --group striate /var/lib/striate /var/lib/striate/weights /var/lib/striate/state /var/lib/striate/keys
COPY --from=build /opt/striate /opt/striate
ENV PATH=/opt/striate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    XDG_CACHE_HOME=/var/lib/striate/weights/.cache \
    STRIATE_HOST=0.0.0.0 \
    STRIATE_PORT=50051 \
    STRIATE_WEIGHTS_DIR=/var/lib/striate/weights \
    STRIATE_STATE_DIR=/var/lib/striate/state
USER striate
WORKDIR /var/lib/striate
EXPOSE 50051
STOPSIGNAL SIGTERM
ENTRYPOINT ["striate-server"]
