"""All checks, in the order in which a scan runs and reports them."""

from tocsin.scan._check import Check
from tocsin.scan.checks.comparison_timing import CHECK as COMPARISON_TIMING
from tocsin.scan.checks.concurrent_duplicate import CHECK as CONCURRENT_DUPLICATE
from tocsin.scan.checks.contention_errors import CHECK as CONTENTION_ERRORS
from tocsin.scan.checks.effect_before_verification import CHECK as EFFECT_BEFORE_VERIFICATION
from tocsin.scan.checks.instruction_injection import CHECK as INSTRUCTION_INJECTION
from tocsin.scan.checks.intermediate_state import CHECK as INTERMEDIATE_STATE
from tocsin.scan.checks.over_allocation import CHECK as OVER_ALLOCATION
from tocsin.scan.checks.parse_before_verification import CHECK as PARSE_BEFORE_VERIFICATION
from tocsin.scan.checks.reordering import CHECK as REORDERING
from tocsin.scan.checks.sequential_replay import CHECK as SEQUENTIAL_REPLAY
from tocsin.scan.checks.signature_bypass import CHECK as SIGNATURE_BYPASS
from tocsin.scan.checks.signature_coverage import CHECK as SIGNATURE_COVERAGE
from tocsin.scan.checks.signed_robustness import CHECK as SIGNED_ROBUSTNESS
from tocsin.scan.checks.stale_timestamp import CHECK as STALE_TIMESTAMP

CHECKS: tuple[Check, ...] = (
    CONCURRENT_DUPLICATE,
    SEQUENTIAL_REPLAY,
    OVER_ALLOCATION,
    EFFECT_BEFORE_VERIFICATION,
    PARSE_BEFORE_VERIFICATION,
    SIGNATURE_BYPASS,
    SIGNATURE_COVERAGE,
    STALE_TIMESTAMP,
    INTERMEDIATE_STATE,
    REORDERING,
    CONTENTION_ERRORS,
    INSTRUCTION_INJECTION,
    SIGNED_ROBUSTNESS,
    COMPARISON_TIMING,
)

__all__ = ["CHECKS"]
