import subprocess
import sys
from pathlib import Path

FUZZER = Path(__file__).parents[2] / "fuzz" / "fuzz_verify.py"


def test_the_fuzzer_runs_without_atheris_and_reaches_both_verdicts() -> None:
    run = [sys.executable, str(FUZZER), "--iterations", "3000"]
    said = subprocess.run(run, capture_output=True, check=True, text=True).stdout
    assert said.startswith("3000 messages in ")
    verified = int(said.partition(": ")[2].partition(" verified")[0])
    assert 0 < verified < 3000
