"""A certificate authority for tests, and a server's certificate that it has signed."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Certificates:
    """Files in PEM.

    Args:
        ca_file: the authority.
        certificate: for the names asked for.
        key: of the certificate.
    """

    ca_file: str
    certificate: str
    key: str


def made(folder: Path, *names: str, expired: bool = False) -> Certificates:
    """An authority and a certificate for names or IP addresses."""
    now = dt.datetime.now(dt.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of a test")])
    begin, end = now - 3 * _DAY, now + (-_DAY if expired else _DAY)

    def builder(subject: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
        )

    ca_id = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca = (
        builder(ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(ca_id, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    server = (
        builder(x509.Name([]), key.public_key())
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_id), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    found = Certificates(*(str(folder / name) for name in ("ca.pem", "server.pem", "key.pem")))
    Path(found.ca_file).write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    Path(found.certificate).write_bytes(server.public_bytes(serialization.Encoding.PEM))
    unencrypted = serialization.NoEncryption()
    Path(found.key).write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
    )
    return found


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
