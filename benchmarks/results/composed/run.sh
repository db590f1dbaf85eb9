#!/usr/bin/env bash
# What made the files in this folder. From the repository's root, with `e2` installed, after ../fashion-products/run.sh, ../study/run.sh and
# ../captioning/run.sh. Only numbers are kept here: queries and hits stay in RUNS.
set -euo pipefail
DATA=${DATA:?folder of fashion-products with train.parquet, val.parquet and test.parquet}
RUNS=${RUNS:-runs/composed}
CAPTIONERS=${CAPTIONERS:-runs/captioning}
export OMP_NUM_THREADS=1

fit() { # METHOD ENCODER options...: keeps what an earlier call finished
  local out=$RUNS/$NAME/$1-$2 method=$1 encoder=$2
  shift 2
  [ -d "$out" ] || e2 compose fit --method "$method" --encoder "runs/$NAME/$encoder" --data "$SPEC" --tags "$TAGS" --workers 1 \
    --precision bf16 --out "$out" "$@"
}

measure() { # SEED QUERY-TAGS SWAP methods...: attribute-swap, the learnt methods from their folders
  local seed=$1 tags=$2 swap=$3 out=$RUNS/$NAME-swap-$1 folders=() further=()
  shift 3
  for method in "$@"; do
    case $method in
      lincir | pic2word | searle | slots) for m in clip multifield e2; do folders+=(--composer "$RUNS/$NAME/$method-$m-$seed"); done ;;
      cirevl) further=(--set "cirevl.captions=$CAPTIONERS/$NAME/decap-{encoder}") ;;
    esac
  done
  e2 evaluate composed --benchmark attribute-swap --data "$SPEC" --split test --tags "$tags" --keep sub_category --swap "$swap" --seed 0 --workers 1 \
    --model "runs/$NAME/clip-$seed" "runs/$NAME/multifield-$seed" "runs/$NAME/e2-$seed" --method "$@" "${folders[@]}" "${further[@]}" --out "$out"
  mkdir -p "benchmarks/results/composed/$NAME-seed$seed"
  cp "$out/comparison.json" "benchmarks/results/composed/$NAME-seed$seed/"
}

NAME=fashion-products SPEC=$DATA TAGS=brand,season,sub_category,colour
for seed in 0 1; do
  for encoder in clip-$seed multifield-$seed e2-$seed; do
    fit slots $encoder --split val # thresholds on photos that training has not seen
    fit lincir $encoder --split train
    fit pic2word $encoder --split train --products 16384 --steps 500
    if [ $seed = 0 ]; then fit searle $encoder --split train --products 768 --oti-steps 100 --steps 500; fi
  done
done
measure 0 $TAGS brand,sub_category,colour image text sum slerp lincir pic2word searle slots cirevl
measure 1 $TAGS brand,sub_category,colour image text sum slerp lincir pic2word slots

NAME=boutique SPEC=boutique:train=6000,val=300,test=1000,seed=0 TAGS=brand,season,sub_category,composition,colour
for encoder in clip-0 multifield-0 e2-0; do
  fit slots $encoder --split val
  fit lincir $encoder --split train --steps 300
  fit pic2word $encoder --split train --steps 200
  fit searle $encoder --split train --products 256 --oti-steps 60 --steps 200
done
measure 0 sub_category,composition,colour composition,colour image text sum slerp lincir pic2word searle slots cirevl

# fashion-products-224 in LARGE: on a pre-trained tower, the encoders of ../study/run.sh controls, trained here if they are not there
if [ -n "${LARGE:-}" ]; then
  NAME=fashion-products-224 SPEC=$LARGE TAGS=brand,season,sub_category,colour cached=(--cache runs/cache) models=() composers=()
  # fashion-products-224-seed1: the same without the last model, without CIReVL, and with 1 for 0 in names and --seed of the trainings
  for model in e2 clip multifield multifield-pooled-same-weight; do
    method=${model%-same-weight} weight=()
    [ $model = $method ] || weight=(--set loss.region_weight=0.6)
    e2 train --data "$SPEC" --tags $TAGS --method $method --backbone "local-dir:${BACKBONE:?folder of a pre-trained backbone}" --epochs 2 \
      --batch-size 128 --workers 1 --seed 0 --resume --precision bf16 "${cached[@]}" --set optim.image_layers=0 --set optim.lr=1e-3 \
      "${weight[@]}" --out "runs/$NAME/$model-0"
    fit slots $model-0 --split val "${cached[@]}"
    fit lincir $model-0 --split train --steps 500 "${cached[@]}"
    models+=("runs/$NAME/$model-0") composers+=(--composer "$RUNS/$NAME/slots-$model-0" --composer "$RUNS/$NAME/lincir-$model-0")
  done
  e2 evaluate composed --benchmark attribute-swap --data "$SPEC" --split test --tags $TAGS --keep sub_category --swap brand,sub_category,colour \
    --seed 0 --workers 1 "${cached[@]}" --precision bf16 --model "${models[@]}" --method image text sum slerp lincir slots "${composers[@]}" \
    --out "$RUNS/$NAME-swap-0"
  mkdir -p benchmarks/results/composed/$NAME-seed0 benchmarks/results/composed/$NAME-cirevl-seed0
  cp "$RUNS/$NAME-swap-0/comparison.json" benchmarks/results/composed/$NAME-seed0/
  for model in "${models[@]}"; do
    e2 caption fit --method capdec --encoder "$model" --data "$SPEC" --split train --tags $TAGS --resume --batch-size 64 --steps 600 \
      --out "$CAPTIONERS/$NAME/capdec-${model##*/}"
  done
  e2 evaluate composed --benchmark attribute-swap --data "$SPEC" --split test --tags $TAGS --keep sub_category --swap brand,sub_category,colour \
    --seed 0 --workers 1 "${cached[@]}" --precision bf16 --model "${models[@]}" --method image text sum cirevl \
    --set "cirevl.captions=$CAPTIONERS/$NAME/capdec-{encoder}" --out "$RUNS/$NAME-cirevl-0"
  cp "$RUNS/$NAME-cirevl-0/comparison.json" benchmarks/results/composed/$NAME-cirevl-seed0/
fi

# boutique-224: the encoders and captioners of ../captioning/run.sh on a pre-trained tower
[ -d runs/boutique-224 ] || exit 0
NAME=boutique-224 SPEC=boutique:train=4000,val=300,test=1000,seed=0,size=224
for encoder in clip-0 e2-0; do fit slots $encoder --split val; done
e2 evaluate composed --benchmark attribute-swap --data $SPEC --split test --tags sub_category,composition,colour --keep sub_category \
  --swap composition,colour --seed 0 --workers 1 --cache runs/cache --precision bf16 --model runs/$NAME/clip-0 runs/$NAME/e2-0 \
  --method image text sum slerp slots cirevl --composer "$RUNS"/$NAME/slots-{clip,e2}-0 \
  --set "cirevl.captions=$CAPTIONERS/$NAME/decap-{encoder}" --out "$RUNS/$NAME-swap-0"
mkdir -p benchmarks/results/composed/$NAME-seed0
cp "$RUNS/$NAME-swap-0/comparison.json" benchmarks/results/composed/$NAME-seed0/
