"""The CloudEvents SDK for Python as a peer: `send URL MODE` posts the events of vectors.json, `receive PORT FILE` writes down
what the SDK reads of what is posted to it."""

import base64
import http.client
import http.server
import json
import sys
import urllib.parse

from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from dateutil.parser import isoparse


def build(vector):
    attributes = dict(vector["attributes"], specversion="1.0")
    if "time" in attributes:
        attributes["time"] = isoparse(attributes["time"])
    data = vector["data"] and base64.b64decode(vector["data"])
    media_type = attributes.get("datacontenttype", "")
    if data and media_type.endswith("json"):
        data = json.loads(data)
    elif data and media_type.startswith("text/"):
        data = data.decode()
    return CloudEvent(attributes, data)


def post(url, message):
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    connection.request("POST", url.path, message.body, message.headers)
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    if response.status // 100 != 2:
        raise RuntimeError(f"{response.status} {answer!r}")


def send(url, mode):
    write = {"binary": to_binary_event, "structured": to_structured_event}[mode]
    with open("docs/interop/sdks/vectors.json", encoding="utf-8") as file:
        for vector in json.load(file):
            try:
                message = write(build(vector))
                post(urllib.parse.urlsplit(url), message)
            except Exception as err:  # whatever it is, the event does not arrive, which is what is looked at
                print(f"python cannot send {vector['name']}: {err}", file=sys.stderr)


def text(value):
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else str(value)


def read(headers, body):
    event = from_http_event(HTTPMessage(dict(headers), body))
    data = event.get_data()
    if data is not None and not isinstance(data, (str, bytes)):
        data = json.dumps(data)
    if isinstance(data, str):
        data = data.encode()
    attributes = {k: text(v) for k, v in event.get_attributes().items() if v is not None}
    return {"attributes": attributes, "data": base64.b64encode(data).decode() if data is not None else None}


def receive(port, path):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                line = read(self.headers.items(), body)
            except Exception as err:
                line = {"error": str(err)}
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


{"send": send, "receive": receive}[sys.argv[1]](*sys.argv[2:])
