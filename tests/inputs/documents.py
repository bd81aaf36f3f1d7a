"""Small documents of our own, in the shapes that published ones have."""

import base64
import json
from typing import Any

SIGNATURE = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"
ORDER = {"order_id": "ord_17", "item": "sku-1", "qty": 1}

# A shop: its orders are signed, its stock is read at the item.
SHOP = """\
openapi: 3.0.3
info: {title: Shop, version: 2026-01-01}
servers:
  - url: https://{region}.shop.example/v1
    variables: {region: {default: eu}}
security:
  - signed: []
    key: []
paths:
  /orders:
    get:
      responses:
        200:
          description: all orders
          content:
            application/json:
              schema:
                type: object
                properties:
                  orders: {type: array, items: {$ref: '#/components/schemas/Order'}}
                  page: {type: integer}
    post:
      requestBody:
        content:
          application/json:
            schema: {$ref: '#/components/schemas/Order'}
  /items:
    post:
      security: []
  /items/{item_id}:
    get:
      parameters: [{name: item_id, in: path, required: true, schema: {type: string}}]
      responses:
        200:
          description: one item
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Item'}
components:
  securitySchemes:
    signed: {type: apiKey, in: header, name: X-Hub-Signature-256}
    key: {type: apiKey, in: header, name: X-Api-Key}
  schemas:
    Order:
      type: object
      required: [order_id, item_id, qty]
      properties:
        order_id: {type: string, format: uuid}
        item_id: {type: string, example: sku-1}
        qty: {type: integer, minimum: 1}
        note: {type: string}
        paid: {type: boolean, readOnly: true}
    Item:
      type: object
      properties:
        id: {type: string}
        stock: {type: integer}
        parent: {$ref: '#/components/schemas/Item'}
"""


def shop() -> dict[str, Any]:
    """The same, with JSON's types, to be changed."""
    return {
        "openapi": "3.1.0",
        "servers": [{"url": "http://127.0.0.1:8000"}],
        "paths": {
            "/wallets/{wallet_id}/debits": {
                "parameters": [{"name": "wallet_id", "in": "path", "required": True, "example": "w-1"}],
                "post": {
                    "parameters": [{"name": "X-Signature", "in": "header", "schema": {"type": "string"}}],
                    "requestBody": {
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": ["object", "null"],
                                    "properties": {
                                        "reference": {"type": "string"},
                                        "amount": {"type": "number", "minimum": 2},
                                        "sent_at": {"type": "string", "format": "date-time"},
                                    },
                                }
                            }
                        }
                    },
                },
            },
            "/wallets/{id}": {
                "get": {
                    "responses": {
                        "200": {
                            "content": {
                                "application/json": {
                                    "schema": {"allOf": [{"properties": {"balance": {"type": "integer"}}}]}
                                }
                            }
                        }
                    }
                }
            },
        },
    }


def entry(
    method: str, path: str, sent: object = None, answered: object = None, *, base: bool = False, **headers: str
) -> dict[str, Any]:
    """An entry of an archive, with the headers that browsers send along."""
    fields = {"Host": "shop.example", "User-Agent": "x", "sec-ch-ua": "x"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    request: dict[str, Any] = {
        "method": method,
        "url": f"https://shop.example{path}",
        "headers": [{"name": name, "value": value} for name, value in fields.items()],
    }
    if sent is not None:
        request["headers"].append({"name": "Content-Type", "value": "application/json"})
        request["postData"] = {"text": json.dumps(sent)}
    text = json.dumps(answered)
    content = {"text": base64.b64encode(text.encode()).decode(), "encoding": "base64"} if base else {"text": text}
    return {"request": request, "response": {"status": 200, "content": content}}


def archive(*entries: object) -> bytes:
    """An HTTP archive."""
    return json.dumps({"log": {"entries": list(entries)}}).encode()


def session() -> list[dict[str, Any]]:
    """A visit: an item is made, looked at, ordered, looked at."""
    return [
        entry("POST", "/items", {"stock": 5}, {"item": "sku-1", "stock": 5}, base=True),
        entry("GET", "/items/sku-1", None, {"item": "sku-1", "stock": 5, "seen": [1]}),
        entry("POST", "/orders", ORDER, {"status": "processed"}, X_Signature=SIGNATURE, Cookie="sid=hush"),
        entry("GET", "/items/sku-1", None, {"item": "sku-1", "stock": 4, "seen": [1]}),
    ]


def tnetstring(value: object) -> bytes:
    """As mitmproxy writes it."""
    match value:
        case bytes():
            data, mark = value, b","
        case str():
            data, mark = value.encode(), b";"
        case bool():
            data, mark = str(value).lower().encode(), b"!"
        case int():
            data, mark = str(value).encode(), b"#"
        case float():
            data, mark = repr(value).encode(), b"^"
        case None:
            data, mark = b"", b"~"
        case dict():
            data, mark = b"".join(tnetstring(key) + tnetstring(item) for key, item in value.items()), b"}"
        case list():
            data, mark = b"".join(map(tnetstring, value)), b"]"
        case _:
            raise TypeError(value)
    return b"%d:%b%b" % (len(data), data, mark)


def flow(**changed: object) -> dict[str, object]:
    """A flow of mitmproxy."""
    request: dict[str, object] = {
        "method": b"POST",
        "scheme": b"https",
        "host": "shop.example",
        "port": 443,
        "path": b"/orders",
        "headers": [[b"Content-Type", b"application/json"], [b"X-Signature", SIGNATURE.encode()]],
        "content": json.dumps(ORDER).encode(),
    }
    response: dict[str, object] = {"status_code": 200, "content": b"{}", "headers": []}
    return {"type": "http", "version": 21, "request": request | changed, "response": response}
