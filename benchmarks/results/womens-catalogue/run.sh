#!/usr/bin/env bash
# What made this folder. SHOP: the table of a real shop of 2,549 products; BACKBONE: an open_clip folder of OpenAI's ViT-B/16 image tower and a
# MiniLM text tower. From the repository's root, with `e2` installed. Interrupted, call it again.
set -euo pipefail
SHOP=${SHOP:?table of a shop}
BACKBONE=${BACKBONE:?folder of a pre-trained backbone}
RUNS=${RUNS:-runs/womens-catalogue}
export OMP_NUM_THREADS=2

[ -d "$RUNS/data" ] || e2 data import "$SHOP" --val 0.05 --test 0.1 --out "$RUNS/data"
[ -f "$RUNS/entities.yaml" ] || e2 data entities "$RUNS/data" --out "$RUNS/entities.yaml"
models=()
for seed in 0 1; do
  for method in clip multifield e2; do
    tags=(--tags "$RUNS/entities.yaml")
    [ $method = clip ] && tags=()
    e2 train --data "$RUNS/data" "${tags[@]}" --method $method --backbone "local-dir:$BACKBONE" --batch-size 128 --epochs 7 \
      --cache "$RUNS/cache" --set optim.image_layers=0 --set optim.lr=3e-4 --seed $seed --resume --out "$RUNS/$method-$seed"
    models+=(--model "$RUNS/$method-$seed")
  done
done
# e2six-0: e2, seed 0, six epochs
e2 train --data "$RUNS/data" --tags "$RUNS/entities.yaml" --backbone "local-dir:$BACKBONE" --batch-size 128 --epochs 6 \
  --cache "$RUNS/cache" --set optim.image_layers=0 --set optim.lr=3e-4 --seed 0 --resume --out "$RUNS/e2six-0"
models+=(--model "$RUNS/e2six-0")
e2 evaluate retrieval "${models[@]}" --data "$RUNS/data" --split test --cache "$RUNS/cache" --out "$RUNS/retrieval"
mkdir -p benchmarks/results/womens-catalogue/retrieval
cp "$RUNS/retrieval/comparison.json" benchmarks/results/womens-catalogue/retrieval/
