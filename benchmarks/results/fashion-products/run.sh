#!/usr/bin/env bash
# What made the files in this folder. DATA: the Kaggle set "Fashion Product Images (small)" as train/val/test.parquet
# (34,099 / 1,000 / 2,000 products, split by product name). From the repository's root, with `e2` installed.
set -euo pipefail
DATA=${DATA:?folder with train.parquet, val.parquet and test.parquet}
RUNS=${RUNS:-runs/fashion-products}
RESULTS=benchmarks/results/fashion-products
export OMP_NUM_THREADS=1 # one thread a run, so that two runs side by side on two cores give the same numbers

for seed in 0 1 2; do
  for method in clip multifield e2; do
    e2 train --data "$DATA" --tags brand,season,sub_category,colour --method $method --seed $seed --backbone e2-nano \
      --epochs 10 --batch-size 256 --precision bf16 --workers 1 --resume --out "$RUNS/$method-$seed"
    cp "$RUNS/$method-$seed/log.csv" "$RESULTS/log-$method-$seed.csv"
  done
done

for protocol in full sample-100; do
  for seed in 0 1 2; do
    e2 evaluate retrieval --data "$DATA" --split test --tags brand,season,sub_category,colour --text caption \
      --protocol $protocol --workers 1 --out "$RESULTS/$protocol-seed$seed" \
      --model "$RUNS/clip-$seed" --model "$RUNS/multifield-$seed" --model "$RUNS/e2-$seed"
  done
done
