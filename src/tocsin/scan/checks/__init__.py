"""All checks, in the order in which a scan runs and reports them."""

from tocsin.scan._check import Check
from tocsin.scan.checks.concurrent_duplicate import CHECK as CONCURRENT_DUPLICATE
from tocsin.scan.checks.effect_before_verification import CHECK as EFFECT_BEFORE_VERIFICATION
from tocsin.scan.checks.over_allocation import CHECK as OVER_ALLOCATION
from tocsin.scan.checks.sequential_replay import CHECK as SEQUENTIAL_REPLAY
from tocsin.scan.checks.signature_bypass import CHECK as SIGNATURE_BYPASS

CHECKS: tuple[Check, ...] = (
    CONCURRENT_DUPLICATE,
    SEQUENTIAL_REPLAY,
    OVER_ALLOCATION,
    EFFECT_BEFORE_VERIFICATION,
    SIGNATURE_BYPASS,
)

__all__ = ["CHECKS"]
