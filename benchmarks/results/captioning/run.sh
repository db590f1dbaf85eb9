#!/usr/bin/env bash
# What made the files in this folder. From the repository's root, with `e2` installed, after ../fashion-products/run.sh and ../study/run.sh.
# BACKBONE, for boutique-224: an open_clip folder of OpenAI's ViT-B/16 image tower and a MiniLM text tower.
# Only numbers are kept here: captions and references stay in RUNS.
set -euo pipefail
DATA=${DATA:?folder of fashion-products with train.parquet, val.parquet and test.parquet}
BOUTIQUE=boutique:train=6000,val=300,test=1000,seed=0,size=80
RUNS=${RUNS:-runs/captioning}
export OMP_NUM_THREADS=1

fit() { # CATALOGUE NAME ENCODER METHOD options...
  local catalogue=$1 name=$2 encoder=$3 method=$4
  shift 4
  e2 caption fit --method "$method" --encoder "runs/$catalogue/$encoder" --data "$SPEC" --split train --tags "$TAGS" --resume \
    --out "$RUNS/$catalogue/$name-$encoder" "$@"
}

score() { # NAME CATALOGUE JUDGE captioners...: one comparison; an encoder that wrote none of the captions judges self-retrieval
  local name=$1 catalogue=$2 judge=$3 out=$RUNS/$2/scores-$1 folders=()
  shift 3
  for captioner in "$@"; do folders+=("$RUNS/$catalogue/$captioner"); done
  e2 evaluate captioning --captioner "${folders[@]}" --data "$SPEC" --split test --tags "$TAGS" --encoder "$judge" --workers 1 --out "$out"
  mkdir -p "benchmarks/results/captioning/$name"
  cp "$out/comparison.json" "benchmarks/results/captioning/$name/"
}

references() { # NAME: the descriptions themselves as captions, which shows what the tag scores make of right ones
  local file=$RUNS/references-$1.jsonl out=$RUNS/references-$1
  mkdir -p "$RUNS"
  python - "$SPEC" "$file" <<'PYTHON'
import json, sys
from e2.data import open_catalogue
with open(sys.argv[2], "w") as file:
    for product in open_catalogue(sys.argv[1], "test"):
        file.write(json.dumps({"product_id": product.product_id, "caption": product.captions[0]}) + "\n")
PYTHON
  e2 evaluate captioning --captions "$file" --data "$SPEC" --split test --tags "$TAGS" --java none --out "$out"
  mkdir -p "benchmarks/results/captioning/references-$1"
  cp "$out/metrics.json" "benchmarks/results/captioning/references-$1/"
}

three() { echo "$1-clip-0 $1-multifield-0 $1-e2-0"; }

SPEC=$DATA TAGS=brand,season,sub_category,colour
references fashion-products
for encoder in clip-0 multifield-0 e2-0; do
  fit fashion-products decap $encoder decap
  fit fashion-products capdec $encoder capdec
  fit fashion-products nearest $encoder nearest
done
fit fashion-products decap-tags e2-0 decap --prompt tags
score fashion-products-seed0 fashion-products runs/fashion-products/multifield-1 $(three decap) $(three capdec) $(three nearest)
score fashion-products-tags fashion-products runs/fashion-products/multifield-1 decap-e2-0 decap-tags-e2-0

SPEC=$BOUTIQUE TAGS=brand,season,sub_category,composition,colour
references boutique
for encoder in clip-0 multifield-0 e2-0; do
  fit boutique decap $encoder decap --batch-size 64 --steps 600
  fit boutique capdec $encoder capdec --batch-size 64 --steps 600
  fit boutique nearest $encoder nearest
done
score boutique-seed0 boutique runs/boutique/multifield-1 $(three decap) $(three capdec) $(three nearest)
e2 report captions --results "$RUNS/boutique/scores-boutique-seed0" --out "$RUNS/boutique/report"

[ -n "${BACKBONE:-}" ] || exit 0
SPEC=boutique:train=4000,val=300,test=1000,seed=0,size=224
for method in e2 clip; do # e2 first, whose photos go through the tower with all that both need
  e2 train --data $SPEC --tags $TAGS --method $method --backbone "local-dir:$BACKBONE" --epochs 2 --batch-size 128 --workers 1 --seed 0 --resume \
    --precision bf16 --cache runs/cache --set optim.image_layers=0 --set optim.lr=1e-3 --out runs/boutique-224/$method-0
  fit boutique-224 nearest $method-0 nearest
  fit boutique-224 decap $method-0 decap --batch-size 64 --steps 600
done
e2 evaluate captioning --data $SPEC --split test --tags $TAGS --cache runs/cache --precision bf16 --workers 1 --out "$RUNS/boutique-224/scores" \
  --captioner "$RUNS"/boutique-224/{decap-clip-0,decap-e2-0,nearest-clip-0,nearest-e2-0}
mkdir -p benchmarks/results/captioning/boutique-224-seed0
cp "$RUNS/boutique-224/scores/comparison.json" benchmarks/results/captioning/boutique-224-seed0/

# fashion-products-224: the encoders of ../composed/run.sh on the same tower
[ -d runs/fashion-products-224 ] || exit 0
SPEC=${LARGE:?folder with larger photos} TAGS=brand,season,sub_category,colour folders=()
encoders=(clip-0 multifield-0 multifield-pooled-same-weight-0 e2-0)
for encoder in "${encoders[@]}"; do
  fit fashion-products-224 decap $encoder decap --batch-size 64 --steps 600
  fit fashion-products-224 capdec $encoder capdec --batch-size 64 --steps 600
  fit fashion-products-224 nearest $encoder nearest
done
for method in decap capdec nearest; do for encoder in "${encoders[@]}"; do folders+=("$RUNS/fashion-products-224/$method-$encoder"); done; done
e2 evaluate captioning --data "$SPEC" --split test --tags $TAGS --cache runs/cache --precision bf16 --workers 1 \
  --out "$RUNS/fashion-products-224/scores" --captioner "${folders[@]}"
mkdir -p benchmarks/results/captioning/fashion-products-224-seed0
cp "$RUNS/fashion-products-224/scores/comparison.json" benchmarks/results/captioning/fashion-products-224-seed0/
