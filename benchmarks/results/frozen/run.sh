#!/usr/bin/env bash
# What made view/ in this folder. SHOP: the table of a real shop of 2,549 products; BACKBONE: an open_clip folder of OpenAI's ViT-B/16 image tower
# and a MiniLM text tower. From the repository's root, with `e2` installed. Interrupted, call it again.
set -euo pipefail
SHOP=${SHOP:?table of a shop}
BACKBONE=${BACKBONE:?folder of a pre-trained backbone}
RUNS=${RUNS:-runs/frozen}
export OMP_NUM_THREADS=2

[ -d "$RUNS/data" ] || e2 data import "$SHOP" --val 0.05 --test 0.1 --out "$RUNS/data"
# of the entities that it proposes, category, colour, style and sleeve were kept
[ -f "$RUNS/entities.yaml" ] || e2 data entities "$RUNS/data" --out "$RUNS/entities.yaml"

models=()
for seed in 0 1 2; do
  for augment in none light; do
    e2 train --data "$RUNS/data" --tags "$RUNS/entities.yaml" --backbone "local-dir:$BACKBONE" --batch-size 128 --workers 1 --epochs 5 \
      --cache "$RUNS/cache" --set optim.image_layers=0 --set optim.text_layers=2 --set data.augment=$augment --seed $seed --resume \
      --out "$RUNS/$augment-$seed"
    models+=(--model "$RUNS/$augment-$seed")
  done
done
e2 evaluate retrieval "${models[@]}" --data "$RUNS/data" --split test --cache "$RUNS/cache" --out "$RUNS/view"
mkdir -p benchmarks/results/frozen/view
cp "$RUNS/view/comparison.json" benchmarks/results/frozen/view/
