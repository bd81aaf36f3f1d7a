"""Claims in a database of a Django project, in the transaction of its ORM. The app's migration makes the tables."""

from tocsin.guard.stores.django._store import DjangoStore
from tocsin.guard.stores.django._transaction import Transaction

__all__ = ["DjangoStore", "Transaction"]
