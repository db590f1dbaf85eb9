"""The built-in catalogue: procedurally drawn product photos in which small details decide."""

from e2.data.boutique.make import make_boutique
from e2.data.boutique.product import BoutiqueProduct, draw_product

__all__ = ["BoutiqueProduct", "draw_product", "make_boutique"]
