// The client's part of the workloads: see spec.ts. Each measures itself from when it is warm.

import type { Adapter, BenchConnection, BenchStream } from "./adapter.ts";
import { openMany } from "./connections.ts";
import { drain, request } from "./server.ts";
import {
  CHUNK,
  OP_BOTH,
  OP_COUNT,
  OP_DOWNLOAD,
  OP_REPEAT,
  OP_UPLOAD,
  type Result,
  type Spec,
  type Workload,
} from "./spec.ts";

/** What the process can tell and say. */
export interface Host {
  cpuSeconds(): number;
  rss(): number;
  say(line: object): void;
  /** The next line on stdin. */
  line(): Promise<string>;
}

/** Clock and counters of one measurement. */
export class Meter {
  readonly #host: Host;
  #begun = NaN;
  #cpu = 0;
  #warmAt: number;
  #endAt: number;
  operations = 0;
  bytes = 0;

  constructor(host: Host, workload: Workload) {
    this.#host = host;
    this.#warmAt = performance.now() + workload.warmup * 1000;
    this.#endAt = this.#warmAt + workload.seconds * 1000;
  }

  get measuring(): boolean {
    return !Number.isNaN(this.#begun);
  }

  begin(): void {
    if (this.measuring) return;
    this.#host.say({ begin: true });
    this.operations = this.bytes = 0;
    this.#cpu = this.#host.cpuSeconds();
    this.#begun = performance.now();
  }

  /** For what goes by time: begins when it is warm, and says when it is over. */
  get over(): boolean {
    const now = performance.now();
    if (!this.measuring && now >= this.#warmAt) this.begin();
    return now >= this.#endAt;
  }

  result(info: { [name: string]: unknown }): Result {
    return {
      operations: this.operations,
      bytes: this.bytes,
      seconds: (performance.now() - this.#begun) / 1000,
      cpu: this.#host.cpuSeconds() - this.#cpu,
      rss: this.#host.rss(),
      info,
    };
  }
}

async function open(connection: BenchConnection, op: number, length: number): Promise<BenchStream> {
  const stream = await connection.openStream();
  const wait = stream.write(request(op, length));
  // An error is the reader's to see.
  if (wait !== undefined) wait.catch(() => {});
  return stream;
}

async function upload(stream: BenchStream, bytes: number, meter: Meter, warm: number): Promise<void> {
  const chunk = new Uint8Array(CHUNK);
  for (let sent = 0; sent < bytes; sent += CHUNK) {
    const n = Math.min(CHUNK, bytes - sent);
    const wait = stream.write(n === CHUNK ? chunk : chunk.subarray(0, n));
    if (wait !== undefined) await wait;
    meter.bytes += n;
    if (sent >= warm) meter.begin();
  }
  stream.end();
}

async function download(stream: BenchStream, meter: Meter, warm: number): Promise<void> {
  const buffer = new Uint8Array(CHUNK);
  let got = 0;
  for (;;) {
    const bytes = await stream.read(buffer);
    if (bytes === null) return;
    got += bytes.length;
    meter.bytes += bytes.length;
    if (got >= warm) meter.begin();
  }
}

async function bulk(connection: BenchConnection, { kind, bytes }: Workload, meter: Meter): Promise<void> {
  const warm = bytes / 10;
  if (kind === "download") {
    const stream = await open(connection, OP_DOWNLOAD, bytes);
    stream.end();
    await download(stream, meter, warm);
  } else if (kind === "upload") {
    const stream = await open(connection, OP_UPLOAD, 0);
    await upload(stream, bytes, meter, warm);
    await drain(stream, new Uint8Array(8));
  } else {
    const stream = await open(connection, OP_BOTH, bytes);
    await Promise.all([upload(stream, bytes, meter, warm), download(stream, meter, warm)]);
  }
}

/** Requests on streams of their own, so many in flight. */
async function requests(connection: BenchConnection, workload: Workload, meter: Meter): Promise<void> {
  const worker = async (): Promise<void> => {
    const buffer = new Uint8Array(Math.max(1, workload.size));
    while (!meter.over) {
      const stream = await open(connection, OP_DOWNLOAD, workload.size);
      stream.end();
      meter.bytes += await drain(stream, buffer);
      meter.operations++;
    }
  };
  await Promise.all(Array.from({ length: workload.concurrency }, worker));
}

async function oneStream(connection: BenchConnection, workload: Workload, meter: Meter): Promise<void> {
  const stream = await connection.openStream();
  const header = request(OP_REPEAT, workload.size);
  const buffer = new Uint8Array(workload.size);
  while (!meter.over) {
    void stream.write(header);
    for (let got = 0; got < workload.size;) {
      const bytes = await stream.read(buffer.subarray(got));
      if (bytes === null) throw new Error("the stream ended");
      got += bytes.length;
    }
    meter.operations++;
    meter.bytes += workload.size;
  }
  stream.end();
}

async function messages(connection: BenchConnection, workload: Workload, meter: Meter): Promise<void> {
  const stream = await open(connection, OP_UPLOAD, 0);
  const message = new Uint8Array(workload.size);
  // Time is looked at every 64 messages: it must not be what is measured.
  while (!meter.over) {
    for (let i = 0; i < 64; i++) {
      const wait = stream.write(message);
      if (wait !== undefined) await wait;
    }
    meter.operations += 64;
    meter.bytes += 64 * message.length;
  }
  stream.end();
  await drain(stream, new Uint8Array(8));
}

async function counted(connection: BenchConnection): Promise<number> {
  const stream = await open(connection, OP_COUNT, 0);
  stream.end();
  const bytes = new Uint8Array(8);
  for (let have = 0; ;) {
    const part = await stream.read(bytes.subarray(have));
    if (part === null) break;
    if (part.buffer !== bytes.buffer) bytes.set(part, have);
    have += part.length;
  }
  const view = new DataView(bytes.buffer);
  return view.getUint32(0) * 2 ** 32 + view.getUint32(4);
}

/** Counts those that arrived. */
async function datagrams(connection: BenchConnection, workload: Workload, meter: Meter): Promise<void> {
  if (connection.sendDatagram === undefined) throw new Error("this peer has no datagrams");
  const payload = new Uint8Array(workload.size);
  let before = -1;
  while (!meter.over) {
    if (meter.measuring && before < 0) before = await counted(connection);
    for (let i = 0; i < 16; i++) {
      const wait = connection.sendDatagram(payload);
      if (wait !== undefined) await wait;
    }
    // One turn of the loop, so that they leave and what comes back is read.
    await new Promise((resolve) => setImmediate(resolve));
  }
  meter.operations = (await counted(connection)) - before;
  meter.bytes = meter.operations * workload.size;
}

/** Runs the workload of `spec` and reports. */
export async function runClient(adapter: Adapter, spec: Spec, host: Host): Promise<Result> {
  const { workload } = spec;
  const client = await adapter.client(spec);
  const close = async (result: Result): Promise<Result> => {
    await client.close();
    return result;
  };
  if (workload.kind === "handshakes") {
    const meter = new Meter(host, workload);
    let info: { [name: string]: unknown } = {};
    while (!meter.over) {
      const connection = await client.connect();
      meter.operations++;
      info = connection.info();
      if (workload.resumed) {
        // The ticket is there with the answer.
        const stream = await open(connection, OP_DOWNLOAD, 1);
        stream.end();
        await drain(stream, new Uint8Array(8));
      }
      await connection.close();
    }
    return close(meter.result(info));
  }
  // Not closed before the server's share is read: ten thousand farewells are not what is measured.
  if (workload.kind === "connections") return openMany(client, workload, host);
  const connection = await client.connect();
  const meter = new Meter(host, workload);
  switch (workload.kind) {
    case "requests":
      await requests(connection, workload, meter);
      break;
    case "one-stream":
      await oneStream(connection, workload, meter);
      break;
    case "messages":
      await messages(connection, workload, meter);
      break;
    case "datagrams":
      await datagrams(connection, workload, meter);
      break;
    default:
      await bulk(connection, workload, meter);
  }
  const result = meter.result(connection.info());
  await connection.close();
  return close(result);
}
