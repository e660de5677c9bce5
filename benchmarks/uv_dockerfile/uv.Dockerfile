# An image that contains only uv, like the one that its makers publish; made from the wheel on the package index.
ARG BASE
FROM $BASE AS wheel
ARG PIP_INDEX_URL
RUN --mount=type=bind,source=uv.lock,target=/tmp/uv.lock \
    --mount=type=bind,source=certificates.pem,target=/tmp/certificates.pem \
    pip install --no-cache-dir --cert /tmp/certificates.pem --require-hashes --no-deps --target /uv -r /tmp/uv.lock

FROM scratch
COPY --from=wheel /uv/bin/uv /uv
