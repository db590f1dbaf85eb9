#!/usr/bin/env bash
# The encoders that the captioning and composed results on boutique use: three methods at equal budget. From the repository's root.
set -euo pipefail
DATA=boutique:train=6000,val=300,test=1000,seed=0
RUNS=${RUNS:-runs/boutique}
RESULTS=benchmarks/results/boutique
export OMP_NUM_THREADS=1

for method in clip multifield e2; do
  e2 train --data $DATA --method $method --seed 0 --backbone e2-nano --epochs 10 --batch-size 128 --precision bf16 --workers 1 \
    --resume --out "$RUNS/$method-0"
  cp "$RUNS/$method-0/log.csv" "$RESULTS/log-$method-0.csv"
done
e2 evaluate retrieval --data $DATA --split test --text caption --workers 1 --out "$RESULTS/full-seed0" \
  --model "$RUNS/clip-0" "$RUNS/multifield-0" "$RUNS/e2-0"
