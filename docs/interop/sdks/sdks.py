"""Lets the CloudEvents SDKs for Python, JavaScript and Java send the events of vectors.json to a gateway, and receive them from
it, in every content mode, and compares. Where an SDK is known not to follow the specification, the difference must be there:
when it goes away, the list below is to be mended."""

import base64
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import datetime

import redis

HERE = pathlib.Path("docs/interop/sdks")
VECTORS = {v["name"]: v for v in json.loads((HERE / "vectors.json").read_text(encoding="utf-8"))}
MODES = ["binary", "structured"]

# What the SDKs do, and not the gateway. (peer, direction, mode) -> vector -> why.
KNOWN = {
    ("javascript", "to the gateway", "binary"): {
        "nothing": "writes Content-Type: application/json; charset=utf-8 although there is no data",
        "unicode": "puts attributes into headers as they are, which fetch refuses",
    },
    ("javascript", "from the gateway", "binary"): {"unicode": "does not decode header values (HTTP binding section 3.1.3.2)"},
    ("java", "to the gateway", "binary"): {"unicode": "puts attributes into headers as they are, which the client refuses"},
    ("java", "from the gateway", "structured"): {"suffix": "takes application/vnd.x+json for no JSON, because of the dot (JSON format section 3.1)"},
    ("java", "from the gateway", "binary"): {"unicode": "does not decode header values (HTTP binding section 3.1.3.2)"},
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def await_that(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"interop: not within {seconds} s: {what}")
        time.sleep(0.05)


def is_open(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def normal(event):
    """What two events have in common that are the same: times as moments, JSON as values, everything else as it is."""
    if "error" in event:
        return event
    attributes = {k: v for k, v in event["attributes"].items() if k != "specversion"}
    if "time" in attributes:
        attributes["time"] = moment(attributes["time"]).timestamp()
    data = event["data"] and base64.b64decode(event["data"])
    if data and attributes.get("datacontenttype", "").partition(";")[0].endswith("json"):
        data = json.dumps(json.loads(data), sort_keys=True)
    return {"attributes": attributes, "data": data or None}


def compare(peer, direction, mode, got):
    known, wrong = KNOWN.get((peer, direction, mode), {}), 0
    for name, vector in VECTORS.items():
        same = name in got and normal(got[name]) == normal(vector)
        if same == (name in known):
            wrong += 1
            what = "is the same now: remove it from KNOWN" if same else f"got {got.get(name, 'nothing')}"
            print(f"interop: {peer} {direction}, {mode}, {name}: {what}")
    print(f"interop: {peer} {direction}, {mode}: {len(VECTORS) - len(known) - wrong} the same, {len(known)} known differences, {wrong} wrong")
    return wrong


def entries(client, stream):
    found = {}
    for _, fields in client.xrange(stream):
        fields = {k.decode(): v for k, v in fields.items()}
        attributes = {k[3:]: v.decode() for k, v in fields.items() if k.startswith("ce_")}
        if "content-type" in fields:
            attributes["datacontenttype"] = fields["content-type"].decode()
        data = fields.get("data")
        found[attributes["id"]] = {"attributes": attributes, "data": data and base64.b64encode(data).decode()}
    return found


def received(file):
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        event = json.loads(line)
        found[event.get("attributes", {}).get("id", f"error {len(found)}")] = event
    return found


def configuration(work, redis_port, peers, ports):
    streams = [f"{peer}-{mode}" for peer in peers for mode in MODES] + ["out"]
    subscriptions = []
    for (peer, mode), port in ports.items():
        delivery = {"binary": {"format": "binary"}, "structured": {"format": "json"}, "batched": {"format": "batch"}}[mode]
        subscriptions.append({
            "name": f"{peer}-{mode}", "stream": "out", "startFrom": "earliest",
            "sink": {"uri": f"http://127.0.0.1:{port}/"}, "delivery": delivery, "replyStream": "none",
        })
    config = {
        "redis": {"url": f"redis://127.0.0.1:{redis_port}"},
        "server": {"address": f"127.0.0.1:{free_port()}"}, "admin": {"address": f"127.0.0.1:{free_port()}"},
        "streams": [{"name": name} for name in streams], "subscriptions": subscriptions,
    }
    file = work / "streamgate.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    return file, config["server"]["address"]


def post(url, vector):
    attributes = dict(vector["attributes"], specversion="1.0")
    if vector["data"]:
        attributes["data_base64"] = vector["data"]
    request = urllib.request.Request(url, json.dumps(attributes).encode(), {"Content-Type": "application/cloudevents+json"})
    urllib.request.urlopen(request, timeout=10).close()


def run(work, streamgate, peers, processes):
    def start(command, **more):
        with open(work / f"{len(processes)}.log", "wb") as log:
            processes.append(subprocess.Popen(command, stdout=log, stderr=log, **more))

    redis_port = free_port()
    start(["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(work)])
    client = redis.Redis(port=redis_port)
    await_that("Redis answers", lambda: is_open(redis_port))
    ports, files = {}, {}
    for peer, command in peers.items():
        for mode in MODES + (["batched"] if peer == "javascript" else []):  # the others' SDKs know no batches
            ports[peer, mode], files[peer, mode] = free_port(), work / f"{peer}-{mode}.ndjson"
            start(command + ["receive", str(ports[peer, mode]), str(files[peer, mode])])
            await_that(f"{peer} listens", lambda: is_open(ports[peer, mode]))
    config, address = configuration(work, redis_port, peers, ports)
    start([streamgate, "serve", "--config", str(config)])
    await_that("the gateway listens", lambda: is_open(int(address.rpartition(":")[2])))
    wrong = 0
    for vector in VECTORS.values():
        post(f"http://{address}/out", vector)
    for peer, command in peers.items():
        for mode in MODES:
            stream = f"{peer}-{mode}"
            subprocess.run(command + ["send", f"http://{address}/{stream}", mode], check=True, timeout=60)
            wrong += compare(peer, "to the gateway", mode, entries(client, stream))
    for (peer, mode), file in files.items():
        await_that(f"{peer} has received all", lambda: len(received(file)) == len(VECTORS))
        wrong += compare(peer, "from the gateway", mode, received(file))
    return wrong


def main():
    work, streamgate, sdk = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    peers = {
        "python": [sys.executable, str(HERE / "peer.py")],
        "javascript": ["node", str(HERE / "peer.mjs")],
        "java": ["java", "-cp", f"{sdk}/java/*:{work}", "Peer"],
    }
    os.environ["SDK"] = os.path.abspath(f"{sdk}/js")
    processes = []
    try:
        wrong = run(work, streamgate, peers, processes)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)
    if wrong:
        raise SystemExit(f"interop: FAILED: {wrong} events differ")
    print("interop: the SDKs and the gateway understand each other")


main()
