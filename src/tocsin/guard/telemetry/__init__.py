"""Metrics and spans of guarded requests, made from the guard's log.

Nothing is measured twice, and nobody pays who did not ask for it. See `tocsin.guard.telemetry.prometheus` and
`tocsin.guard.telemetry.opentelemetry`.
"""
