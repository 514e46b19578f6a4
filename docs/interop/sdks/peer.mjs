// The CloudEvents SDK for JavaScript as a peer: `send URL MODE` posts the events of vectors.json, `receive PORT FILE` writes
// down what the SDK reads of what is posted to it.
import { appendFileSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const { CloudEvent, HTTP } = createRequire(process.env.SDK + "/")("cloudevents");

function build({ attributes, data }) {
  const event = { ...attributes };
  if (data !== null) {
    const bytes = Buffer.from(data, "base64");
    const mediaType = attributes.datacontenttype;
    event.data = mediaType.endsWith("json") ? JSON.parse(bytes) : mediaType.startsWith("text/") ? bytes.toString() : new Uint8Array(bytes);
  }
  return new CloudEvent(event);
}

async function send(url, mode) {
  for (const vector of JSON.parse(readFileSync("docs/interop/sdks/vectors.json"))) {
    try {
      const message = HTTP[mode](build(vector));
      const response = await fetch(url, { method: "POST", headers: message.headers, body: message.body });
      if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    } catch (err) {
      console.error(`javascript cannot send ${vector.name}: ${err}`);
    }
  }
}

function line(event) {
  const attributes = {};
  for (const [name, value] of Object.entries(event.toJSON())) {
    if (name !== "data" && name !== "data_base64" && value !== undefined) attributes[name] = String(value);
  }
  let { data } = event;
  if (data === undefined || data === null) data = null;
  else if (data instanceof Uint32Array) data = Buffer.from(Uint8Array.from(data)); // bytes, one an element
  else if (!Buffer.isBuffer(data) && !(data instanceof Uint8Array)) data = Buffer.from(typeof data === "string" ? data : JSON.stringify(data));
  return JSON.stringify({ attributes, data: data && Buffer.from(data).toString("base64") });
}

function receive(port, file) {
  createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    let body = Buffer.concat(parts);
    if (!(request.headers["content-type"] ?? "").includes("octet-stream")) body = body.toString();
    let lines;
    try {
      lines = [HTTP.toEvent({ headers: request.headers, body: body.length ? body : undefined })].flat().map(line);
    } catch (err) {
      lines = [JSON.stringify({ error: String(err) })];
    }
    for (const one of lines) appendFileSync(file, one + "\n");
    response.writeHead(202).end();
  }).listen(Number(port), "127.0.0.1");
}

const [command, ...args] = process.argv.slice(2);
await { send, receive }[command](...args);
