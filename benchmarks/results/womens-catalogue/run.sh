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
train() { # METHOD SEED PRECISION EPOCHS NAME [SETTING...]
  local tags=(--tags "$RUNS/entities.yaml")
  [ "$1" = clip ] && tags=()
  e2 train --data "$RUNS/data" "${tags[@]}" --method "$1" --backbone "local-dir:$BACKBONE" --batch-size 128 --epochs "$4" --precision "$3" \
    --cache "$RUNS/cache" --set optim.image_layers=0 --set optim.lr=3e-4 --seed "$2" --resume --out "$RUNS/$5" "${@:6}"
}

measure() { # FOLDER PRECISION models...: one comparison
  local folder=$1 precision=$2 models=()
  shift 2
  for model in "$@"; do models+=(--model "$RUNS/$model"); done
  e2 evaluate retrieval "${models[@]}" --data "$RUNS/data" --split test --cache "$RUNS/cache" --precision "$precision" --out "$RUNS/$folder"
  mkdir -p "benchmarks/results/womens-catalogue/$folder"
  cp "$RUNS/$folder/comparison.json" "benchmarks/results/womens-catalogue/$folder/"
}

for seed in 0 1; do
  for method in clip multifield e2; do train $method $seed fp32 7 $method-$seed; done
done
train e2 0 fp32 6 e2six-0
measure retrieval fp32 {clip,multifield,e2}-0 {clip,multifield,e2}-1 e2six-0

for run in clip-0 multifield-0 e2-0 e2-1 clip-2 multifield-2 e2-2; do train "${run%-*}" "${run#*-}" bf16 7 "bf16/$run"; done
for seed in 0 1 2; do train multifield-pooled $seed bf16 7 bf16/multifield-pooled-same-weight-$seed --set loss.region_weight=0.6; done
measure retrieval-bf16 bf16 bf16/{clip,multifield,multifield-pooled-same-weight,e2}-0 bf16/{clip,multifield,multifield-pooled-same-weight,e2}-2 \
  bf16/{multifield-pooled-same-weight,e2}-1

further() { # NAME SETTING...: one more epoch from bf16/e2-0
  e2 train --data "$RUNS/data" --tags "$RUNS/entities.yaml" --method e2 --backbone "local-dir:$BACKBONE" --pretrained "$RUNS/bf16/e2-0" --batch-size 32 --epochs 1 \
    --precision bf16 --workers 1 --seed 0 --set data.augment=none --resume --out "$RUNS/further/$1" "${@:2}"
}
further frozen --cache "$RUNS/cache" --set optim.image_layers=0
further lora --set optim.image_lora=8
further last-block --set optim.image_layers=2
further full
measure what-learns bf16 bf16/e2-0 further/{frozen,last-block,lora,full}

# The encoders that benchmarks/results/study trained on fashion-products-224 learn the shop: FASHION holds clip-0 and e2-0, OLD the photos.
if [ -n "${FASHION:-}" ]; then
  from_fashion() { # NAME METHOD SETTING...
    local tags=(--tags "$RUNS/entities.yaml")
    [ "$2" = clip ] && tags=()
    e2 train --data "$RUNS/data" "${tags[@]}" --method "$2" --backbone "local-dir:$BACKBONE" --pretrained "$FASHION/$2-0" --batch-size 128 --epochs 7 --precision bf16 --workers 1 \
      --cache "$RUNS/cache" --set optim.image_layers=0 --set optim.lr=3e-4 --seed 0 --resume --out "$RUNS/from-fashion/$1" "${@:3}"
    e2 wise-ft --model "$RUNS/from-fashion/$1" --data "$RUNS/data" --old-data "$OLD" --split test --alphas 0,0.25,0.5,0.75,1 --cache "$RUNS/cache" --precision bf16 --out "$RUNS/from-fashion/wise-ft-$1"
  }
  from_fashion clip clip
  from_fashion e2 e2
  from_fashion e2-distilled e2 --set loss.distill_weight=1
  results=benchmarks/results/womens-catalogue/from-fashion
  mkdir -p $results
  for name in clip e2 e2-distilled; do cp "$RUNS/from-fashion/wise-ft-$name/wise_ft.json" $results/wise-ft-$name.json; done
  on() { # NAME DATA
    e2 evaluate retrieval --model "$RUNS/from-fashion/clip" --model "$RUNS/from-fashion/e2" --model "$RUNS/from-fashion/e2-distilled" --data "$2" --split test \
      --cache "$RUNS/cache" --precision bf16 --out "$RUNS/from-fashion/on-$1"
    cp "$RUNS/from-fashion/on-$1/comparison.json" "$results/$1.json"
  }
  on new "$RUNS/data"
  on old "$OLD"
fi

[ -d "$RUNS/slots" ] || e2 compose fit --method slots --encoder "$RUNS/bf16/e2-0" --data "$RUNS/data" --tags "$RUNS/entities.yaml" --split val --precision bf16 --workers 1 --out "$RUNS/slots"
