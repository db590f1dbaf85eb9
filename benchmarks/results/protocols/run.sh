#!/usr/bin/env bash
# Each protocol by name on data at hand, with trained models. Usage: run.sh PHOTOS SHOP MODELS SHOP_MODELS OUT
#   PHOTOS       fashion-products-224 in parquet files; MODELS holds its models clip-0 and e2-0, and their --cache
#   SHOP         the folder of womens-catalogue/run.sh with data, entities.yaml and cache; SHOP_MODELS holds clip-0 and e2-0
set -eu
photos=$1 shop=$2 models=$3 shop_models=$4 out=$5 here=$(cd "$(dirname "$0")" && pwd)
tags=brand,season,sub_category,colour

measure() { # NAME OPTIONS...: both models on the 653 test products
    name=$1; shift
    e2 evaluate retrieval --model "$models/clip-0" --model "$models/e2-0" --data "$photos" --split test --tags $tags \
        --precision bf16 --cache "$models/cache" --out "$out/$name" "$@"
}
measure_shop() {
    name=$1; shift
    e2 evaluate retrieval --model "$shop_models/clip-0" --model "$shop_models/e2-0" --data "$shop/data" --split test \
        --tags "$shop/entities.yaml" --precision bf16 --cache "$shop/cache" --out "$out/$name" "$@"
}

python "$here/queries.py" "$photos" test $tags "$out/queries"
judged=$(for file in "$out"/queries/ground_truth_*; do echo --qrels "$file"; done)
measure marqo --benchmark marqo:KAGL $judged
for form in json tsv trec; do measure "own-$form" --qrels "$out/queries/own.$form" --queries "$out/queries/queries.jsonl"; done
measure image-to-image --image-to-image
measure first-photo --protocol first-photo
for rule in fame-vil authors any; do measure "sample-100-$rule" --protocol sample-100 --rule $rule; done
python "$here/queries.py" "$shop/data" test "$shop/entities.yaml" "$out/shop-queries"
measure_shop shop-marqo --benchmark marqo:KAGL --qrels "$out/shop-queries/ground_truth_text-image.json"
measure_shop shop-image-to-image --image-to-image

# Programs of others, offline, on small data sets in their layouts
python "$here/layouts.py" "$photos" test sub_category,colour 26 "$out/layouts"
HF_HUB_OFFLINE=1 HF_DATASETS_CACHE="$out/hf" python -m e2.adapters.programs.mteb_fashion --model "$models/e2-0" \
    --data "$out/layouts/mteb" --out "$out/mteb"
for level in coarse fine; do
    python "$here/look.py" "$out/layouts/$level" "$models/e2-0" >"$out/look-$level.yaml"
    python -m e2.adapters.programs.look_bench_model --config "$out/look-$level.yaml" | tee "$out/look-$level.txt"
done
