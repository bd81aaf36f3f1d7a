"""The checks of a run as rules of SARIF, and the weaknesses they name as its taxonomies. PURE.

Rule: an index always points at what it is the index of; all of them come from one list each.
"""

import re
from collections.abc import Mapping, Sequence

from tocsin.findings import Finding, Json, Severity
from tocsin.report._plain_text import line
from tocsin.report._weaknesses import NAMES, page, weakness
from tocsin.report.explanation import FRAMEWORKS, Explanation, explanation

CWE, OWASP = "CWE", "OWASP-API-2023"
_TAXONOMIES: Mapping[str, Mapping[str, Json]] = {
    CWE: {"organization": "MITRE", "shortDescription": {"text": "Common Weakness Enumeration"}},
    OWASP: {"organization": "OWASP", "shortDescription": {"text": "OWASP API Security Top 10 2023"}},
}
# The number that code hosts sort by, from the middle of the CVSS band of the same name; 0 where nothing was violated.
_SECURITY_SEVERITIES = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "2.0",
    Severity.NONE: "0.0",
}


class Rules:
    """The rules of one run.

    Args:
        findings: what the run concluded.
        missing: the ids of checks that came to no conclusion.
    """

    def __init__(self, findings: Sequence[Finding], missing: Sequence[str]) -> None:
        self._findings = {finding.check: finding for finding in findings}
        self._checks = [*self._findings, *missing]
        taxa: dict[str, dict[str, None]] = {CWE: {}, OWASP: {}}
        for check in self._checks:
            cwe, owasp = self._weaknesses(check)
            taxa[CWE].update(dict.fromkeys(map(str, cwe)))
            taxa[OWASP].update(dict.fromkeys([owasp] if owasp else []))
        self._taxa = {name: list(ids) for name, ids in taxa.items()}

    def index(self, check: str) -> int:
        """Where the check's rule is among `descriptors`."""
        return self._checks.index(check)

    def descriptors(self) -> list[Json]:
        """One reportingDescriptor for each check (3.49)."""
        return [self._descriptor(check) for check in self._checks]

    def references(self) -> list[Json]:
        """The taxonomies, as the driver names them."""
        return [{"name": name, "index": place} for place, name in enumerate(_TAXONOMIES)]

    def reference(self, taxonomy: str, taxon: str) -> Json:
        """A reference to one weakness (3.52)."""
        return {
            "id": _taxon_id(taxon),
            "index": self._taxa[taxonomy].index(taxon),
            "toolComponent": {"name": taxonomy, "index": list(_TAXONOMIES).index(taxonomy)},
        }

    def taxonomies(self) -> list[Json]:
        """The taxonomies with what this run refers to."""
        taxa: Mapping[str, list[Json]] = {
            CWE: [_cwe(int(number)) for number in self._taxa[CWE]],
            OWASP: [{"id": _taxon_id(text), "shortDescription": {"text": line(text)}} for text in self._taxa[OWASP]],
        }
        return [
            {"name": name, **rest, "isComprehensive": False, "taxa": taxa[name]} for name, rest in _TAXONOMIES.items()
        ]

    def _descriptor(self, check: str) -> Json:
        finding, explained = self._findings.get(check), explanation(check)
        cwe, owasp = self._weaknesses(check)
        title = finding.title if finding else explained.question if explained else check
        severity = finding.severity if finding else Severity.NONE
        return {
            "id": check,
            "name": "".join(word.capitalize() for word in re.findall(r"\w+", check)) or "Check",
            "shortDescription": {"text": line(title)},
            "fullDescription": {"text": _one_line(explained.what) if explained else line(title)},
            "help": _help(finding, explained),
            "relationships": [
                {"target": self.reference(taxonomy, taxon), "kinds": ["relevant"]}
                for taxonomy, taxons in ((CWE, map(str, cwe)), (OWASP, [owasp] if owasp else []))
                for taxon in taxons
            ],
            "properties": {
                "tags": ["security", *(f"external/cwe/cwe-{number:03}" for number in cwe)],
                "security-severity": _SECURITY_SEVERITIES[severity],
            },
        }

    def _weaknesses(self, check: str) -> tuple[tuple[int, ...], str]:
        """What a violation of the check shows; a finding that is none does not say."""
        finding, explained = self._findings.get(check), explanation(check)
        cwe = finding.cwe if finding else ()
        owasp = finding.owasp if finding else ""
        if explained is not None:
            cwe, owasp = tuple(dict.fromkeys((*cwe, *explained.cwe))), owasp or explained.owasp
        return cwe, owasp


def _help(finding: Finding | None, explained: Explanation | None) -> Json:
    """Text for everybody, and Markdown with the code; both are ours, so that nothing in them needs escaping."""
    if explained is None:
        return {
            "text": line(finding.remedy.text) if finding and finding.remedy else "No explanation comes with this check."
        }
    text = f"{explained.what}\n\n{explained.why}\n\n{explained.fix}"
    code = "\n\n".join(
        f"### {name}\n\n```{language}\n{explained.code[framework]}\n```"
        for framework, (name, language) in FRAMEWORKS.items()
    )
    sections = (explained.what, f"```text\n{explained.picture}\n```", explained.why, f"## Fix\n\n{explained.fix}", code)
    return {"text": text, "markdown": "\n\n".join(sections)}


def _cwe(number: int) -> Json:
    taxon: dict[str, Json] = {"id": str(number), "helpUri": page(number)}
    if number in NAMES:
        taxon["shortDescription"] = {"text": weakness(number).partition(": ")[2]}
    return taxon


def _taxon_id(taxon: str) -> str:
    """A number as it is; of "API2:2023 Broken Authentication" what stands before the space."""
    return line(taxon.partition(" ")[0])


def _one_line(text: str) -> str:
    return " ".join(text.split())
