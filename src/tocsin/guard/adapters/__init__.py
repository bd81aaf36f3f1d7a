"""One module a framework; each imports its framework, so none is imported from here."""
