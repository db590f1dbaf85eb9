#!/usr/bin/env bash
# What made the files in this folder. From the repository's root, with `e2` installed, after ../fashion-products/run.sh and ../boutique/run.sh.
# Only numbers are kept here: captions and references stay in RUNS.
set -euo pipefail
DATA=${DATA:?folder of fashion-products with train.parquet, val.parquet and test.parquet}
BOUTIQUE=boutique:train=6000,val=300,test=1000,seed=0
RUNS=${RUNS:-runs/captioning}
export OMP_NUM_THREADS=1

fit() { # CATALOGUE NAME ENCODER METHOD options...
  local catalogue=$1 name=$2 encoder=$3 method=$4
  shift 4
  e2 caption fit --method "$method" --encoder "runs/$catalogue/$encoder" --texts "$SPEC" --split train --tags "$TAGS" --resume \
    --out "$RUNS/$catalogue/$name-$encoder" "$@"
}

score() { # CATALOGUE SEED JUDGE captioners...: all in one comparison; an encoder that wrote none of the captions judges self-retrieval
  local catalogue=$1 seed=$2 judge=$3 out=$RUNS/$1/scores-seed$2 folders=()
  shift 3
  for captioner in "$@"; do folders+=("$RUNS/$catalogue/$captioner"); done
  e2 evaluate captioning --captioner "${folders[@]}" --data "$SPEC" --split test --tags "$TAGS" --encoder "$judge" --workers 1 --out "$out"
  mkdir -p "benchmarks/results/captioning/$catalogue-seed$seed"
  cp "$out/comparison.json" "benchmarks/results/captioning/$catalogue-seed$seed/"
}

SPEC=$DATA TAGS=brand,season,sub_category,colour
for seed in 0 1; do
  captioners=()
  for encoder in clip-$seed multifield-$seed e2-$seed; do
    fit fashion-products decap $encoder decap
    fit fashion-products capdec $encoder capdec
    captioners+=(decap-$encoder capdec-$encoder)
    if [ $seed = 0 ]; then
      fit fashion-products nearest $encoder nearest
      fit fashion-products decap-tags $encoder decap --prompt tags
      captioners+=(nearest-$encoder decap-tags-$encoder)
    fi
  done
  score fashion-products $seed "runs/fashion-products/multifield-$((1 - seed))" "${captioners[@]}"
done

SPEC=$BOUTIQUE TAGS=brand,season,sub_category,composition,colour
captioners=()
for encoder in clip-0 multifield-0 e2-0; do
  fit boutique decap $encoder decap --batch-size 64 --steps 300
  fit boutique capdec $encoder capdec --batch-size 64 --steps 300
  fit boutique nearest $encoder nearest
  captioners+=(decap-$encoder capdec-$encoder nearest-$encoder)
done
score boutique 0 runs/boutique/clip-0 "${captioners[@]}"
e2 report captions --runs "$RUNS/boutique/scores-seed0" --out "$RUNS/boutique/report"
