"""The report for test servers: JUnit XML, in the form that Jenkins and GitLab read. PURE.

Rule: a violation is a failure, a check that could not tell is an error (a green bar would hide it), one that does not
apply is skipped. A clean check passes and says its bound.
"""

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Finding, Verdict
from tocsin.report._plain_text import line
from tocsin.report._utc import rfc3339
from tocsin.report._words import bound, effects, not_run
from tocsin.report.standing import NO_TERMS, Terms, standing


def render(started: RunStarted, findings: Sequence[Finding], ended: RunEnded, terms: Terms = NO_TERMS) -> str:
    """The report as an XML document that ends with a newline. A violation that the baseline knows is skipped."""
    stood = standing(started, findings, terms)
    missing = not_run(started, findings)
    suite = Element("testsuite", name=f"tocsin {_line(started.operation)}")
    properties = SubElement(suite, "properties")
    for name, value in (
        ("target", _line(started.target)),
        ("plan", _line(started.plan)),
        ("seed", str(started.seed)),
        ("tocsin", started.version),
        ("verdict", stood.verdict.value),
        ("score", str(stood.score.points)),
        ("grade", stood.score.grade),
    ):
        SubElement(properties, "property", name=name, value=value)
    for finding in findings:
        _case(suite, started, finding, known=finding.check in stood.known)
    for check in missing:
        case = _bare_case(suite, started, check)
        SubElement(case, "error", type="NOT_RUN", message="came to no conclusion")
    if ended.interrupted or ended.left_behind:
        said = [ended.interrupted, f"left behind: {ended.left_behind}" if ended.left_behind else ""]
        SubElement(suite, "system-err").text = _line("; ".join(part for part in said if part))
    suite.attrib |= {
        "tests": str(len(findings) + len(missing)),
        "failures": _count(suite, "failure"),
        "errors": _count(suite, "error"),
        "skipped": _count(suite, "skipped"),
        "time": f"{ended.elapsed_s:.3f}",
        # Without a zone, as the format's own schema has it; it is UTC.
        "timestamp": rfc3339(started.started_at_unix).removesuffix("Z"),
    }
    suites = Element("testsuites")
    suites.append(suite)
    indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(suites, encoding="unicode")}\n'


def _case(suite: Element, started: RunStarted, finding: Finding, *, known: bool) -> None:
    case = _bare_case(suite, started, finding.check)
    said = _line(finding.evidence.summary)
    match finding.verdict:
        case Verdict.VIOLATED if known:
            SubElement(case, "skipped", message=f"known by the baseline ({finding.severity}): {said}")
        case Verdict.VIOLATED:
            SubElement(case, "failure", type=finding.severity.value, message=said).text = _argument(finding)
        case Verdict.INCONCLUSIVE:
            SubElement(case, "error", type=finding.verdict.value, message=said)
        case Verdict.NOT_APPLICABLE:
            SubElement(case, "skipped", message=said)
        case _:
            SubElement(case, "system-out").text = _line(bound(finding))


def _bare_case(suite: Element, started: RunStarted, check: str) -> Element:
    # Jenkins makes a package of what stands before the last dot of a class name; a path may well hold dots.
    return SubElement(
        suite, "testcase", classname=f"tocsin {_line(started.operation)}".replace(".", "_"), name=_line(check)
    )


def _argument(finding: Finding) -> str:
    parts = [finding.title, finding.evidence.summary, effects(finding, "effect")]
    if finding.remedy is not None:
        parts.append(f"Fix: {finding.remedy.text}")
    if finding.reproducer is not None:
        parts.append(f"Rerun: {finding.reproducer.command}")
    return "\n".join(_line(part) for part in parts if part)


def _count(suite: Element, tag: str) -> str:
    return str(len(suite.findall(f"testcase/{tag}")))


def _line(text: str) -> str:
    """Text of others as XML can hold it: U+FFFE and U+FFFF are no characters there (XML 1.0, section 2.2)."""
    return line(text).replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
