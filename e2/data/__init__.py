"""Catalogues of products from any source, checked and cheap to index; images decoded when they are needed.

Names load when first used (they stand in ``__init__.pyi``): pyarrow takes a third of a second, which the command line's help
should not cost.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
