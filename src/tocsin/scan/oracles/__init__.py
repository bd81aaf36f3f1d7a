"""How many effects happened? One file an oracle; a plan's [[state]] picks one by its keys."""

from tocsin.scan.oracles.read_endpoint import read_endpoint

__all__ = ["read_endpoint"]
