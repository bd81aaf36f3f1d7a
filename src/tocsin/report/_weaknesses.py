"""Names of the weaknesses that findings show by number (CWE 4.18, cwe.mitre.org). PURE."""

NAMES = {
    20: "Improper Input Validation",
    94: "Improper Control of Generation of Code ('Code Injection')",
    208: "Observable Timing Discrepancy",
    290: "Authentication Bypass by Spoofing",
    294: "Authentication Bypass by Capture-replay",
    345: "Insufficient Verification of Data Authenticity",
    347: "Improper Verification of Cryptographic Signature",
    362: "Concurrent Execution using Shared Resource with Improper Synchronization ('Race Condition')",
    367: "Time-of-check Time-of-use (TOCTOU) Race Condition",
    385: "Covert Timing Channel",
    436: "Interpretation Conflict",
    613: "Insufficient Session Expiration",
    662: "Improper Synchronization",
    696: "Incorrect Behavior Order",
    755: "Improper Handling of Exceptional Conditions",
    770: "Allocation of Resources Without Limits or Throttling",
    807: "Reliance on Untrusted Inputs in a Security Decision",
    841: "Improper Enforcement of Behavioral Workflow",
    915: "Improperly Controlled Modification of Dynamically-Determined Object Attributes",
    1427: "Improper Neutralization of Input Used for LLM Prompting",
}


def weakness(number: int) -> str:
    """As in "CWE-367: Time-of-check Time-of-use (TOCTOU) Race Condition"; the number alone where no name is known."""
    return f"CWE-{number}: {NAMES[number]}" if number in NAMES else f"CWE-{number}"


def page(number: int) -> str:
    """The address of its description."""
    return f"https://cwe.mitre.org/data/definitions/{number}.html"
