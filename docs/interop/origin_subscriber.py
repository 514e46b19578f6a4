"""The subscriber of the notebook that Streamgate comes from, as its users run it: plain redis-py, flat fields.

It reads the streams as a consumer group, decodes every field as UTF-8 and prints it. It knows nothing of CloudEvents.
"""

import sys

import redis

STREAMS = ["STREAM", "WATERBODIES", "WATERBODIESFAILURE"]
GROUP, CONSUMER = "origin", "origin-1"


def main(port: int, want: int) -> None:
    client = redis.Redis(host="127.0.0.1", port=port)
    for stream in STREAMS:
        try:
            client.xgroup_create(stream, GROUP, id="0", mkstream=True)
        except redis.exceptions.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
    seen = 0
    while seen < want:
        for stream, messages in client.xreadgroup(GROUP, CONSUMER, {s: ">" for s in STREAMS}, count=10, block=5000):
            for message_id, fields in messages:
                decoded = {name.decode("utf-8"): value.decode("utf-8") for name, value in fields.items()}
                print(f"{stream.decode()} subject={decoded['subject']} producer={decoded['producer']} href={decoded['href']}")
                client.xack(stream, GROUP, message_id)
                seen += 1


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
