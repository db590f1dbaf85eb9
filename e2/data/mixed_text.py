"""Makes texts of all lengths for training (``--text mixed``).

People search by a word or two. A text tower trained on whole descriptions only does not read those well, so half of the time a
few of the product's tags replace the description.
"""

import torch

from e2.data.product import Product


def mixed_text(product: Product, caption: int) -> str:
    """Returns the description or, half of the time, one to all of the tags in any order, drawn by torch's CPU generator.

    Args:
        product: one without tags always gets its description.
        caption: index of the description.
    """
    tags = list(product.tags.values())
    if not tags or torch.rand(()) < 0.5:
        return product.text("caption", caption)
    count = 1 + int(torch.randint(len(tags), ()))
    return " ".join(tags[place] for place in torch.randperm(len(tags))[:count].tolist())
