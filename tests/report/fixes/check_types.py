"""Compiles the Rust and Go fixes against the real libraries. After a change: python tests/report/fixes/check_types.py

Not in the tests: the libraries take minutes to compile the first time. The tests hold the text to the formatters.
"""

import re
import subprocess
import tempfile
from pathlib import Path

from tocsin.report.explanation import explained, explanation

HERE = Path(__file__).parent
MANIFEST = """\
[package]
name = "fixes"
version = "0.1.0"
edition = "2021"

[dependencies]
actix-web = "4"
hex = "0.4"
hmac = "0.12"
serde = { version = "1", features = ["derive"] }
serde_json = "1"
sha2 = "0.10"
sqlx = { version = "0.8", features = ["postgres", "runtime-tokio"] }
subtle = "2"
"""
# By the name with which a fix uses them.
GO_PACKAGES = (
    *("bytes", "context", "crypto/hmac", "crypto/sha256", "database/sql", "encoding/binary", "encoding/hex"),
    *("encoding/json", "errors", "io", "net/http", "strconv", "strings", "time"),
)


def code(check: str, framework: str) -> str:
    found = explanation(check)
    assert found is not None
    return found.code[framework]


def check_rust(folder: Path) -> None:
    names = (HERE / "names.rs").read_text(encoding="utf-8")
    allowed, _, names = names.partition("\n")
    stub = "fn verified_json(_: &HttpRequest, _: &[u8]) -> actix_web::Result<Message> { todo!() }"
    apply = "async fn apply(_: &mut PgConnection, _: &Message) -> Result<(), sqlx::Error> { todo!() }"
    modules = []
    for check in explained():
        text = code(check, "actix")
        missing = [one for one, name in ((stub, "fn verified_json("), (apply, "fn apply(")) if name not in text]
        modules.append(f"mod {check.replace('-', '_')} {{\n" + "\n".join([names, *missing, text]) + "\n}\n")
    (folder / "src").mkdir()
    (folder / "Cargo.toml").write_text(MANIFEST, encoding="utf-8")
    (folder / "src" / "lib.rs").write_text("\n".join([allowed, *modules]), encoding="utf-8")
    target = Path(tempfile.gettempdir()) / "tocsin-fixes-target"
    subprocess.run(["cargo", "check", "--quiet", "--target-dir", str(target)], cwd=folder, check=True)


def check_go(folder: Path) -> None:
    (folder / "go.mod").write_text("module fixes\n\ngo 1.21\n", encoding="utf-8")
    stubs = (HERE / "names.go").read_text(encoding="utf-8").split("//\n\n")
    for check in explained():
        text = code(check, "go")
        bare = re.sub(r"//.*", "", text)
        used = "".join(f'import "{path}"\n' for path in GO_PACKAGES if f"{path.rpartition('/')[2]}." in bare)
        package = folder / check.replace("-", "")
        package.mkdir()
        (package / "fix.go").write_text(f"package fix\n\n{used}\n{text}\n", encoding="utf-8")
        kept = [one for one in stubs if not one.startswith("func ") or one.partition("(")[0] + "(" not in text]
        (package / "names.go").write_text("".join(kept), encoding="utf-8")
    subprocess.run(["go", "vet", "./..."], cwd=folder, check=True)


if __name__ == "__main__":
    for check in (check_go, check_rust):
        with tempfile.TemporaryDirectory() as folder:
            check(Path(folder))
