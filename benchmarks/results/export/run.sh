#!/bin/sh
# What each way out of PyTorch costs in recall. RUNS holds the trained runs, PRODUCTS the fashion-products tables.
set -e
out=${OUT:-runs/export}
for format in "onnx --int8" transformers "open_clip --backbone-only"; do
  e2 export --model "$RUNS/fp/e2-0" --format $format --data "$PRODUCTS" --out "$out/fashion-products-${format%% *}"
done
e2 export --model "$RUNS/boutique/e2-0" --format onnx --int8 --data boutique:train=6000,val=300,test=1000,seed=0,size=80 --out "$out/boutique-onnx"
