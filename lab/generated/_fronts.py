"""The fronts of generated services, as source text: what turns a server's request into a call of `respond`."""

FRONTS = {
    "flask": """
app = Flask(__name__)


@app.route("/<path:_path>", methods=["GET", "POST", "PUT"])
def every(_path):
    status, said = respond(request.method, request.path, request.headers.get, request.get_data())
    return said, status
""",
    "wsgi": '''
def app(environ, start_response):
    """Plain WSGI."""
    def header(name):
        return environ.get("HTTP_" + name.upper().replace("-", "_"))

    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    status, said = respond(environ["REQUEST_METHOD"], environ["PATH_INFO"], header, body)
    start_response(f"{status} Said", [("Content-Type", "application/json")])
    return [json.dumps(said).encode()]
''',
    "starlette": """
async def every(request):
    body = await request.body()
    status, said = await run_in_threadpool(respond, request.method, request.url.path, request.headers.get, body)
    return JSONResponse(said, status)


app = Starlette(routes=[Route("/{path:path}", every, methods=["GET", "POST", "PUT"])])
""",
    "asyncio": """
async def every(request):
    status, said = await respond(request.method, request.url.path, request.headers.get, await request.body())
    return JSONResponse(said, status)


app = Starlette(routes=[Route("/{path:path}", every, methods=["GET", "POST", "PUT"])])
""",
}
_STARLETTE = """
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route
"""
IMPORTS = {"flask": "\nfrom flask import Flask, request\n", "starlette": _STARLETTE, "asyncio": _STARLETTE, "wsgi": ""}
GUARD_IMPORTS = """
from tocsin.guard import Guard, json_pointer
from tocsin.guard.stores.{module} import {store}
from tocsin.signing import KeyRing, Scheme, Secret, preset
"""
