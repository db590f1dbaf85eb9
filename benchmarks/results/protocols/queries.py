"""Makes judged queries of a catalogue's own texts and tags: ``python queries.py SPEC SPLIT TAGS OUT``.

Into OUT: ``ground_truth_text-image.json`` (each description asks for its products) and ``ground_truth_ENTITY-image+text.json``
(each value asks for the products that have it), in the public leaderboard's form; and the first entity's values once more as
``own.json``, ``own.tsv`` (BEIR) and ``own.trec``, with their words in ``queries.jsonl``.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

from e2.data import open_catalogue

spec, split, tags, out = sys.argv[1:]
catalogue = open_catalogue(spec, split, tags=tags)
products = list(catalogue.text_only())
folder = Path(out)
folder.mkdir(parents=True, exist_ok=True)


def write(name, judged):
    (folder / name).write_text(json.dumps({query: dict.fromkeys(ids, 1) for query, ids in judged.items()}))


texts = defaultdict(list)
for product in products:
    texts[product.captions[0]].append(product.product_id)
write("ground_truth_text-image.json", texts)
for entity in catalogue.tags:
    values = defaultdict(list)
    for product in products:
        for value in product.values.get(entity, ()):
            values[value].append(product.product_id)
    write(f"ground_truth_{entity}-image+text.json", values)
    if entity == catalogue.tags[0]:
        named = {f"q{number}": value for number, value in enumerate(values)}
        rows = [(name, product) for name, value in named.items() for product in values[value]]
        (folder / "queries.jsonl").write_text("".join(json.dumps({"_id": n, "text": v}) + "\n" for n, v in named.items()))
        (folder / "own.json").write_text(json.dumps({n: dict.fromkeys(values[v], 1) for n, v in named.items()}))
        (folder / "own.trec").write_text("".join(f"{name} 0 {product} 1\n" for name, product in rows))
        (folder / "own.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(f"{n}\t{p}\t1\n" for n, p in rows))
