"""Write the service of a seed into a folder: same seed, same files."""

from pathlib import Path

from lab._services import LabError, Service, load
from lab.generated._papers import expected, plan, service
from lab.generated._source import source
from lab.generated._traits import draw
from lab.generated._truth import truths

# Where a folder holds one, so that it can be drawn again for the brute force.
SEED_FILE = "seed"


def generate(seed: int, folder: Path) -> Service:
    """Write the service of a seed.

    Args:
        seed: any whole number.
        folder: made if it is not there; holds nothing else, or an earlier service of this kind.

    Raises:
        LabError: the folder has files in it that are not ours.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / SEED_FILE).exists():
        raise LabError(f"{folder} has files in it; wanted an empty folder, or one of a generated service")
    traits = draw(seed)
    folder.mkdir(parents=True, exist_ok=True)
    papers = {
        SEED_FILE: f"{seed}\n",
        "app.py": source(traits),
        "plan.toml": plan(traits),
        "service.toml": service(traits),
        "expected.toml": expected(traits, truths(traits)),
    }
    for name, text in papers.items():
        (folder / name).write_text(text)
    return load(folder, name=traits.name)
