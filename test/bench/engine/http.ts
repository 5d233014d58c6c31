// The workloads over HTTP. GET /N answers N bytes; GET /fields/N the same, and says in a field how many fields the request
// had; POST / answers how many bytes came. Servers are handlers of (req, res), as most are in Node; clients are what each
// implementation has beneath its fetch.

import type { IncomingMessage, ServerResponse } from "node:http";
import { type Host, Meter } from "./client.ts";
import { runProgram } from "./main.ts";
import { CHUNK, type Result, type Spec, type Workload } from "./spec.ts";

export type Fields = Readonly<Record<string, string>>;

export interface HttpConnection {
  /** GETs `path`; `onData` gets the length of each part of the content. Resolves at its end with the response's status. */
  get(path: string, fields: Fields, onData: (length: number) => void): Promise<number>;
  /** POSTs `bytes` bytes, `chunk` by `chunk`. Resolves with the content of the response. */
  post(path: string, bytes: number, chunk: Uint8Array, onSent: (length: number) => void): Promise<string>;
  info(): { [name: string]: unknown };
  close(): Promise<unknown> | void;
}

/** What the engine needs of an implementation of HTTP. */
export interface HttpAdapter {
  listen(spec: Spec): Promise<number>;
  client(spec: Spec): Promise<{ connect(): Promise<HttpConnection>; close(): Promise<unknown> | void }>;
}

// ---- the server

const zeros = Buffer.alloc(CHUNK);
const COUNT = "x-fields";

const drained = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => void response.once("drain", resolve));

async function sendLarge(response: ServerResponse, length: number): Promise<void> {
  for (let left = length; left > 0; left -= CHUNK) {
    if (!response.write(left < CHUNK ? zeros.subarray(0, left) : zeros)) await drained(response);
  }
  response.end();
}

/** The server of every implementation in JavaScript. */
export function handler(request: IncomingMessage, response: ServerResponse): void {
  if (request.method === "POST") {
    let got = 0;
    request.on("data", (chunk: Uint8Array) => (got += chunk.length));
    request.on("end", () => response.end(String(got)));
    return;
  }
  const path = request.url!;
  const length = Number(path.slice(path.lastIndexOf("/") + 1));
  response.setHeader("content-type", "application/octet-stream");
  response.setHeader("content-length", length);
  if (path.startsWith("/fields/")) {
    const names = Object.keys(request.headers).filter((name) => !name.startsWith(":") && name !== "host");
    response.setHeader(COUNT, names.length);
  }
  if (length <= CHUNK) response.end(zeros.subarray(0, length));
  else void sendLarge(response, length);
}

// ---- the client

/** So many fields of a request: most say the same each time, four do not. */
function fieldsFor(count: number): () => Fields {
  const same: Record<string, string> = {};
  for (let i = 0; i < count - 4; i++) same[`x-field-${i}`] = `value ${i} of a length that fields have`;
  let request = 0;
  return () => {
    const n = (request++).toString(16).padStart(16, "0");
    return {
      ...same,
      "x-request-id": n,
      traceparent: `00-${n}${n}-${n}-01`,
      cookie: `session=${n}`,
      "if-none-match": `"${n}"`,
    };
  };
}

async function requests(connection: HttpConnection, workload: Workload, meter: Meter): Promise<void> {
  const { size, fields: count } = workload;
  const path = count === 0 ? `/${size}` : `/fields/${size}`;
  const none: Fields = {};
  const fields = count === 0 ? () => none : fieldsFor(count);
  const onData = (length: number): void => void (meter.bytes += length);
  const worker = async (): Promise<void> => {
    while (!meter.over) {
      const status = await connection.get(path, fields(), onData);
      if (status !== 200) throw new Error(`the status is ${status}`);
      meter.operations++;
    }
  };
  await Promise.all(Array.from({ length: workload.concurrency }, worker));
}

async function download(connection: HttpConnection, { bytes }: Workload, meter: Meter): Promise<void> {
  let got = 0;
  await connection.get(`/${bytes}`, {}, (length) => {
    got += length;
    meter.bytes += length;
    if (got >= bytes / 10) meter.begin();
  });
  if (got !== bytes) throw new Error(`${got} bytes came of ${bytes}`);
}

async function upload(connection: HttpConnection, { bytes }: Workload, meter: Meter): Promise<void> {
  let sent = 0;
  const got = await connection.post("/", bytes, new Uint8Array(CHUNK), (length) => {
    sent += length;
    meter.bytes += length;
    if (sent >= bytes / 10) meter.begin();
  });
  if (Number(got) !== bytes) throw new Error(`${got} bytes came of ${bytes}`);
}

/** Handshakes in flight while connections are opened. */
const OPENING = 16;

/** Connections that have had one request each: a tenth of them, then all, looked at while they are idle. */
async function idle(
  client: { connect(): Promise<HttpConnection> },
  { connections: count, size }: Workload,
  host: Host,
): Promise<Result> {
  const connections: HttpConnection[] = [];
  let begun = 0;
  for (const wanted of [count / 10, count]) {
    const opener = async (): Promise<void> => {
      while (begun < wanted) {
        begun++;
        const connection = await client.connect();
        await connection.get(`/${size}`, {}, () => {});
        connections.push(connection);
      }
    };
    await Promise.all(Array.from({ length: OPENING }, opener));
    host.say({ opened: true });
    await host.line();
  }
  const meter = new Meter(host, { ...NOTHING });
  meter.begin();
  meter.operations = connections.length;
  return meter.result(connections[0]!.info());
}
const NOTHING = { warmup: 0, seconds: 0 } as Workload;

async function runHttpClient(adapter: HttpAdapter, spec: Spec, host: Host): Promise<Result> {
  const { workload } = spec;
  const client = await adapter.client(spec);
  if (workload.kind === "http-idle") return idle(client, workload, host);
  const connection = await client.connect();
  const meter = new Meter(host, workload);
  if (workload.kind === "http-requests") await requests(connection, workload, meter);
  else if (workload.kind === "http-download") await download(connection, workload, meter);
  else await upload(connection, workload, meter);
  const result = meter.result(connection.info());
  await connection.close();
  await client.close();
  return result;
}

/** The frame of a program that speaks HTTP. */
export const httpMain = (adapter: HttpAdapter): Promise<void> =>
  runProgram({
    listen: (spec) => adapter.listen(spec),
    client: (spec, host) => runHttpClient(adapter, spec, host),
  });
