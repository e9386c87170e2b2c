#!/usr/bin/env python3
"""moto's EC2 with a layer in front that fails as it is told and remembers what it was asked.

Prints its address and serves until its standard input ends, so that it never outlives who started it.

POST /_fault {"action": "RunInstances", "times": 1, …} for the next calls of that action, with:
    "code": "InsufficientInstanceCapacity", "status": 500    EC2's form of that error
    "drop": true                                             nothing is done, the connection is closed
    "page": 2                                                only if it asks for a later page
    "drop": true, "after": true                              it is done, and the answer is lost
    "hold": true                                             nothing is done, and it is never answered
    "hold": true, "after": true                              it is done, and never answered
GET /_held returns how many calls are held now; GET /_calls returns [{"Action": …, …}, …]; POST /_reset forgets faults and calls; moto's own is /moto-api/.
"""
import io
import json
import os
import socket
import sys
import threading
import urllib.parse
import uuid

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

moto = DomainDispatcherApplication(create_backend_app)
faults, calls, held, lock = [], [], [], threading.Lock()
never = threading.Event()


def reply(start, status, body, kind):
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("x-amzn-requestid", str(uuid.uuid4()))]
    start(f"{status} -", headers)
    return [body]


def lose(environ):
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return []


def page_of(call):
    return 2 if "NextToken" in call else 1


def take_fault(call):
    for fault in faults:
        if fault["action"] == call.get("Action") and fault["times"] > 0 and fault.get("page", 1) == page_of(call):
            fault["times"] -= 1
            return fault
    return None


def app(environ, start):
    path = environ["PATH_INFO"]
    if path.startswith("/moto-api"):
        return moto(environ, start)
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    # EC2 may always return less than was asked for: here it does, so that paging can be seen with few instances.
    small = body.replace(b"MaxResults=1000", b"MaxResults=50")
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(small), str(len(small))
    with lock:
        if path == "/_fault":
            faults.append({"times": 1, **json.loads(body)})
            return reply(start, 200, b"", "text/plain")
        if path == "/_reset":
            faults.clear()
            calls.clear()
            return reply(start, 200, b"", "text/plain")
        if path == "/_held":
            return reply(start, 200, json.dumps(len(held)).encode(), "application/json")
        if path == "/_calls":
            return reply(start, 200, json.dumps(calls).encode(), "application/json")
        call = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        calls.append(call)
        fault = take_fault(call)
    if fault is None:
        return moto(environ, start)
    if fault.get("after"):
        b"".join(moto(environ, lambda status, headers, _=None: None))
    if fault.get("hold"):
        held.append(call)
        never.wait()
    if fault.get("drop"):
        return lose(environ)
    error = (
        f"<Response><Errors><Error><Code>{fault['code']}</Code><Message>injected</Message></Error></Errors>"
        f"<RequestID>{uuid.uuid4()}</RequestID></Response>"
    )
    return reply(start, fault.get("status", 400), error.encode(), "text/xml;charset=UTF-8")


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print(f"http://127.0.0.1:{server.port}", flush=True)
server.serve_forever()
