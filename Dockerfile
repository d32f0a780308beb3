# docker build --tag audio-dcls .                                     for CPUs
# docker build --tag audio-dcls --build-arg TORCH_BACKEND=cu130 .     also for CUDA; run the image with --gpus all
# docker run --rm --volume "$PWD:/data" audio-dcls tag sound.wav --checkpoint runs/mine
# deploy/compose.yaml runs the service.

FROM python:3.12-slim AS build

# The build of PyTorch, in uv's terms: cpu or cu130. constraints.txt pins the CUDA libraries for cu130. They are Python
# packages, so both builds have the same base image, and the host needs only the driver.
ARG TORCH_BACKEND=cpu
ENV UV_TORCH_BACKEND=${TORCH_BACKEND} \
    UV_NO_CACHE=1 \
    UV_COMPILE_BYTECODE=1 \
    VIRTUAL_ENV=/opt/audio-dcls

# The dependencies are in their own layer, because they are large and seldom change.
WORKDIR /src
COPY constraints.txt pyproject.toml ./
RUN pip install --no-cache-dir --constraint constraints.txt uv \
    && python -m venv "$VIRTUAL_ENV" \
    && uv pip install --constraints constraints.txt --requirements pyproject.toml --extra serve --extra video

COPY . .
RUN uv pip install --no-deps --build-constraints constraints.txt .


FROM python:3.12-slim

RUN useradd --uid 1000 --create-home tagger \
    && install --directory --owner=tagger /data /state
COPY --from=build /opt/audio-dcls /opt/audio-dcls
ENV PATH=/opt/audio-dcls/bin:$PATH \
    MPLCONFIGDIR=/tmp/matplotlib

USER 1000
WORKDIR /data
ENTRYPOINT ["audio-dcls"]
CMD ["--help"]
