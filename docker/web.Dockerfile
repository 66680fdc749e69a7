# The microscope: the client and the pages, without torch.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements/uv.txt requirements/web.txt requirements/
RUN pip install --no-cache-dir --root-user-action ignore --require-hashes --requirement requirements/uv.txt \
 && uv venv --no-project --python /usr/local/bin/python /opt/striate \
 && uv pip sync --no-cache --python /opt/striate --require-hashes requirements/web.txt
COPY clients clients
RUN uv pip install --no-cache --python /opt/striate --no-deps --compile-bytecode ./clients ./clients/web

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="striate-web" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --user-group --home-dir /nonexistent --shell /usr/sbin/nologin striate
COPY --from=build /opt/striate /opt/striate
ENV PATH=/opt/striate/bin:$PATH \
    PYTHONUNBUFFERED=1
USER striate
EXPOSE 8080
ENTRYPOINT ["striate", "web", "--host", "0.0.0.0", "--port", "8080"]
