"""Deliver HTTP requests so that they land together, and prove that they did."""

from tocsin.wire._address import Address
from tocsin.wire._burst import Burst, Delivery
from tocsin.wire._engine import deliver
from tocsin.wire._errors import DeliveryError, Failure, RequestError
from tocsin.wire._exchange import exchange
from tocsin.wire._request import request_bytes
from tocsin.wire._response import Response

__all__ = [
    "Address",
    "Burst",
    "Delivery",
    "DeliveryError",
    "Failure",
    "RequestError",
    "Response",
    "deliver",
    "exchange",
    "request_bytes",
]
