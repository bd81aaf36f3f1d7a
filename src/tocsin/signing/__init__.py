"""Signature schemes as data: one declaration signs for a client, verifies for a server and forges for the scanner."""

from tocsin.signing._base import signature_base
from tocsin.signing._components import Parameters
from tocsin.signing._encoding import ENCODINGS
from tocsin.signing._errors import (
    Duplicated,
    Malformed,
    Missing,
    OutsideTolerance,
    Rejected,
    SchemeError,
    UnknownKey,
    WrongDigest,
    WrongSignature,
)
from tocsin.signing._keys import KeyEntry, KeyRing
from tocsin.signing._message import Header, Message
from tocsin.signing._message_id import MessageId
from tocsin.signing._pointer import Json, JsonPointer, PointerError, json_pointer, parse_json, resolve
from tocsin.signing._presets import PRESETS, preset
from tocsin.signing._scheme import Scheme
from tocsin.signing._secret import Secret
from tocsin.signing._sign import attach, compute_signature, make_parameters, sign, signed_message
from tocsin.signing._stream import BodyVerifier, can_stream
from tocsin.signing._table import SECRET_KEYS, scheme_from_table, secret_from_table
from tocsin.signing._verified import Verified
from tocsin.signing._verify import check_keys, verify

__all__ = [
    "ENCODINGS",
    "PRESETS",
    "SECRET_KEYS",
    "BodyVerifier",
    "Duplicated",
    "Header",
    "Json",
    "JsonPointer",
    "KeyEntry",
    "KeyRing",
    "Malformed",
    "Message",
    "MessageId",
    "Missing",
    "OutsideTolerance",
    "Parameters",
    "PointerError",
    "Rejected",
    "Scheme",
    "SchemeError",
    "Secret",
    "UnknownKey",
    "Verified",
    "WrongDigest",
    "WrongSignature",
    "attach",
    "can_stream",
    "check_keys",
    "compute_signature",
    "json_pointer",
    "make_parameters",
    "parse_json",
    "preset",
    "resolve",
    "scheme_from_table",
    "secret_from_table",
    "sign",
    "signature_base",
    "signed_message",
    "verify",
]
