"""Services that are safe but strange, and services that are unsafe but quiet: what a scanner must not fall for."""
