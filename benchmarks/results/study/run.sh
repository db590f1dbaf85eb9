#!/usr/bin/env bash
# What makes the files in this folder. DATA: the Kaggle set "Fashion Product Images (small)" as train/val/test.parquet (34,099 /
# 1,000 / 2,000 products, split by product name). From the repository's root, with `e2` installed. Interrupted, call it again:
# finished trainings are found in $RUNS. `run.sh main groups` runs only these studies.
set -euo pipefail
DATA=${DATA:?folder with train.parquet, val.parquet and test.parquet}
# `controls` and `tags` need LARGE, the 11,431 of these products that have photos of 216 x 288 px (10,457 / 321 / 653), and BACKBONE, an open_clip
# folder of OpenAI's ViT-B/16 image tower and a MiniLM text tower of transformers (`--backbone pair:IMAGE+TEXT` makes one).
RUNS=${RUNS:-runs/study}
SEEDS=${SEEDS:-0,1,2}
EPOCHS=${EPOCHS:-10} # of boutique; the folders NAME/boutique-20-epochs: EPOCHS=20
PHOTO_EPOCHS=${PHOTO_EPOCHS:-10} # of $DATA; the folders NAME/fashion-products-3-epochs: PHOTO_EPOCHS=3, -1-epoch: 1
RESULTS=benchmarks/results/study
BOUTIQUE=boutique:train=6000,val=300,test=1000,seed=0,size=80 # photos near the size that e2-nano sees: decoding larger ones takes longer than training
GENERAL=boutique:train=6000,val=300,test=1000,seed=100,size=80 # other drawings, for the start model
export OMP_NUM_THREADS=1                               # the same numbers whatever else the machine does

studies=${*:-dataset main probe grounding detail groups modules tokens batch-size backbone gap fine-tuned forgetting}
common=(--seeds "$SEEDS" --precision bf16 --workers 1 --runs "$RUNS")
photos=(--data "$DATA" --tags brand,season,sub_category,colour --epochs "$PHOTO_EPOCHS" --batch-size 256 "${common[@]}")
drawings=(--data $BOUTIQUE --epochs "$EPOCHS" --batch-size 128 "${common[@]}")

start_model() { # general captions -> a start model to fine-tune
  [ -d "$RUNS/general-data" ] || e2 data general $GENERAL --out "$RUNS/general-data"
  e2 train --data "$RUNS/general-data" --method clip --backbone e2-nano --epochs 10 --batch-size 128 --precision bf16 \
    --workers 1 --resume --out "$RUNS/general"
}

# The layout of random weights beside pre-trained ones: what these figures were made with.
fine_tuned=(--pretrained "$RUNS/general/model.safetensors" --set optim.lr=1e-3 --set optim.new_lr=2e-3
  --set model.locations=local --set model.gates=stream --set model.regions=tokens)

for study in $studies; do
  case $study in
    dataset)
      e2 study dataset --data "$DATA" --data $BOUTIQUE --tags brand,season,sub_category,colour --out "$RESULTS/dataset"
      ;;
    controls | tags)
      tower=(--backbone "local-dir:${BACKBONE:?folder of a pre-trained backbone}" --epochs 2 --batch-size 128 --precision bf16 --workers 1
        --runs "$RUNS" --cache "$RUNS/cache" --set optim.image_layers=0 --set optim.lr=1e-3 --set data.augment=light)
      pooled=multifield-pooled,multifield-pooled-same-weight
      real=(--data "${LARGE:?folder with larger photos}" --tags brand,season,sub_category,colour)
      drawn=(--data boutique:train=4000,val=300,test=1000,seed=0,size=224 --tags brand,season,sub_category,composition,colour)
      e2 study "$study" "${drawn[@]}" "${tower[@]}" --seeds "$SEEDS" --variants clip,$pooled,e2 --out "$RESULTS/$study/boutique-224"
      if [ "$study" = tags ]; then
        e2 study tags "${real[@]}" "${tower[@]}" --seeds "$SEEDS" --variants clip,multifield,$pooled,e2 --out "$RESULTS/tags/fashion-products-224"
      else
        plain=(--set data.augment=null --seeds "$SEEDS") # the view of evaluation
        e2 study controls "${real[@]}" "${tower[@]}" "${plain[@]}" --variants clip,multifield,clip-longer,multifield-longer,clip-pooled,$pooled,e2 \
          --out "$RESULTS/controls/fashion-products-224"
        e2 study main "${real[@]}" "${tower[@]}" "${plain[@]}" --variants clip,multifield,e2 --out "$RESULTS/main/fashion-products-224"
        e2 study controls "${real[@]}" "${tower[@]}" "${plain[@]}" --epochs 5 --variants clip,multifield,multifield-pooled,e2 --out "$RESULTS/controls/fashion-products-224-5-epochs"
        e2 study controls "${real[@]}" "${tower[@]}" "${plain[@]}" --epochs 2.5 --longer 2 --set "model.layers=[11]" \
          --variants clip-longer,multifield-longer,e2 --out "$RESULTS/controls/fashion-products-224-equal-compute"
        e2 study probe "${real[@]}" "${tower[@]}" "${plain[@]}" --out "$RESULTS/probe/fashion-products-224"
      fi
      ;;
    fine-tuned)
      start_model
      e2 study main "${drawings[@]}" "${fine_tuned[@]}" --out "$RESULTS/fine-tuned/boutique"
      ;;
    forgetting)
      start_model
      e2 study forgetting "${photos[@]}" "${fine_tuned[@]}" --old-data "$RUNS/general-data" --out "$RESULTS/forgetting/fashion-products"
      e2 study forgetting "${drawings[@]}" "${fine_tuned[@]}" --old-data "$RUNS/general-data" --out "$RESULTS/forgetting/boutique"
      ;;
    *)
      e2 study "$study" "${photos[@]}" --out "$RESULTS/$study/fashion-products"
      e2 study "$study" "${drawings[@]}" --out "$RESULTS/$study/boutique"
      ;;
  esac
done
