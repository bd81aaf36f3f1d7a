from tests.guard.conftest import make_shop, shop

__all__ = ["make_shop", "shop"]
