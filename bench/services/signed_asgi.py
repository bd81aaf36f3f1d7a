"""The order endpoint on plain ASGI behind the verifying middleware, without claim and database."""

from bench.services.plain_asgi import app as plain
from tocsin.signing import KeyRing, Secret, preset
from tocsin.signing.servers.asgi import SignedOnly

app = SignedOnly(plain, scheme=preset("hex-sha256-body"), keys=KeyRing.of(Secret.from_env("LAB_SECRET")))
