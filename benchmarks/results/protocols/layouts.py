"""Makes small data sets in the layouts of LookBench and of MTEB's six fashion tasks.

``python layouts.py SPEC SPLIT TAGS COUNT OUT``: TAGS are ``KIND,FINE``, fine labels are pairs of both. Of each of the COUNT
products there is one photo, so that where a data set has several, the second is the photo mirrored, without its outer tenth,
which makes these tasks easy. GLAMI-1M's thirteen languages have a thirteenth of the products each, in English.
"""

import io
import sys
from pathlib import Path

import pandas as pd
from PIL import ImageOps

from e2.data import open_catalogue
from e2.data.images import load_image

spec, split, tags, count, out = sys.argv[1:]
catalogue = open_catalogue(spec, split, tags=tags)
kind, fine = catalogue.tags
products = [product for product in catalogue if kind in product.tags and fine in product.tags][: int(count)]
folder = Path(out)


def jpeg(image):
    contents = io.BytesIO()
    image.save(contents, "JPEG", quality=95)
    return contents.getvalue()


def other(photo):
    image = ImageOps.mirror(load_image(photo))
    across, down = image.width // 20, image.height // 20
    return jpeg(image.crop((across, down, image.width - across, image.height - down)))


photos = [jpeg(load_image(product.images[0])) for product in products]
others = [other(product.images[0]) for product in products]
names = [product.captions[0] for product in products]
wishes = [f"the same in {product.tags[fine]}" for product in products]


def table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(path)


# LookBench: queries and gallery with labels
for level, labels in (
    ("coarse", [p.tags[kind] for p in products]),
    ("fine", [f"{p.tags[kind]} {p.tags[fine]}" for p in products]),
):
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    for name, files, rows in (("query", others, range(0, len(products), 2)), ("gallery", photos, range(1, len(products), 2))):
        table(folder / level / f"{name}.parquet", [{"image": files[row], "label": numbers[labels[row]]} for row in rows])

# MTEB
FEATURES = "[{name: id, dtype: string}, {name: text, dtype: string}, {name: image, dtype: image}]"


def mteb(path, queries, corpus, language=None):
    """Writes a data set whose query n is answered by document n; returns the lines of its description."""
    prefix = f"{language}-" if language else ""
    configs, info = [], []
    for name, items in (("queries", queries), ("corpus", corpus)):
        rows = [
            {"id": f"{name[0]}{n}", "text": text, "image": image and {"bytes": image, "path": None}}
            for n, (text, image) in enumerate(items)
        ]
        rows = [row | {"title": row["text"], "text": ""} for row in rows] if language and name == "queries" else rows
        table(folder / "mteb" / path / f"{prefix}{name}.parquet", rows)
        info += [] if language and name == "queries" else [f"- {{config_name: {prefix}{name}, features: {FEATURES}}}"]
    right = [{"query-id": f"q{n}", "corpus-id": f"c{n}", "score": 1} for n in range(len(queries))]
    table(folder / "mteb" / path / f"{prefix}qrels.parquet", right)
    for name in ("queries", "corpus", "qrels"):
        file = f"{prefix}{name}.parquet"
        configs.append(f"- {{config_name: {prefix}{name}, data_files: [{{split: test, path: {file}}}]}}")
    return configs, info


def described(path, *made):
    """Writes a data set's description, as the hub reads it."""
    configs, info = (sum(parts, []) for parts in zip(*made, strict=True))
    lines = ["---", "configs:", *configs, "dataset_info:", *info, "---", ""]
    (folder / "mteb" / path / "README.md").write_text("\n".join(lines))


bare = [("", photo) for photo in photos]
said = [(name, None) for name in names]
ways = {
    "mteb/mbeir_fashion200k_task3": (bare, said),
    "mteb/mbeir_fashion200k_task0": (said, bare),
    "mteb/mbeir_fashioniq_task7": (list(zip(wishes, others, strict=True)), bare),
    # MTEB leaves out the first hit, the query itself
    "mteb/stanford-online-products": ([("", photo) for photo in others], [("", photo) for photo in [*photos, *others]]),
}
for path, (queries, corpus) in ways.items():
    described(path, mteb(path, queries, corpus))
languages = ["bg", "cs", "el", "es", "et", "hr", "hu", "lt", "lv", "ro", "sk", "sl", "tr"]
path, share = "artist/glami-1m-t2i-mteb", len(languages)
parts = [mteb(path, said[n::share], bare[n::share], language) for n, language in enumerate(languages)]
described(path, *parts)
print(len(products))
