# syntax=docker/dockerfile:1
# The README's installation in a container.
#
#   docker build -t e2:cuda .                                       for NVIDIA GPUs; the host brings driver and container toolkit
#   docker build -t e2 --build-arg TORCH_INDEX=ADDRESS .            for CPUs: the address of PyTorch's CPU wheels, see its site
#   docker run --rm -v "$PWD:/work" -v e2-cache:/cache e2 quickstart
#   docker run --rm --gpus all --shm-size 8g -v "$PWD:/work" -v e2-cache:/cache e2:cuda train --config run.yaml --out runs/mine
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE cli.py ./
COPY e2 e2
COPY adapters adapters
COPY benchmarks benchmarks
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
ARG TORCH_INDEX=
ARG EXTRAS=app,captioning,sources
# The default wheels bring CUDA along; those for CPUs alone come from PyTorch's own index and are a tenth of the size.
RUN pip install --no-cache-dir torch torchvision ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"}
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir "$(echo /wheels/e2_fashion-*.whl)[${EXTRAS}]"

# Drawn catalogues, computed embeddings and downloaded weights outlive the container in a volume on /cache.
ENV E2_CACHE=/cache/e2 HF_HOME=/cache/huggingface MPLCONFIGDIR=/tmp/matplotlib
RUN useradd --create-home --uid 1000 e2 && mkdir -p /cache /work && chown e2:e2 /cache /work
USER e2
WORKDIR /work
VOLUME /cache
RUN e2 --help > /dev/null
ENTRYPOINT ["e2"]
CMD ["--help"]
