"""Deliver HTTP requests so that they land together, and prove that they did."""

from tocsin.wire._address import Address, Protocol, Trust
from tocsin.wire._burst import Burst, Delivery
from tocsin.wire._choice import chosen
from tocsin.wire._engine import deliver
from tocsin.wire._errors import DeliveryError, Failure, RequestError
from tocsin.wire._exchange import exchange, exchanges
from tocsin.wire._request import request_bytes
from tocsin.wire._response import Response
from tocsin.wire._styles import Style, styles_of

__all__ = [
    "Address",
    "Burst",
    "Delivery",
    "DeliveryError",
    "Failure",
    "Protocol",
    "RequestError",
    "Response",
    "Style",
    "Trust",
    "chosen",
    "deliver",
    "exchange",
    "exchanges",
    "request_bytes",
    "styles_of",
]
