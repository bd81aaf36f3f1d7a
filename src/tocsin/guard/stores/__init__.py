"""What a store is, and one package for each."""

from tocsin.guard._store import Claim, Declares, Forgotten, Granted, Record, Store

__all__ = ["Claim", "Declares", "Forgotten", "Granted", "Record", "Store"]
