// Our HTTP/3. QUIC_TS_BENCH_HTTP=fetch measures it by fetch's shapes, "stream" without any: what each costs.

import { readFileSync } from "node:fs";
import {
  type ClientStream,
  Http3Connection,
  type NodeHandler,
  RoundTripper,
  Server,
  type ServerOptions,
} from "../../../../http3/index.ts";
import { type Connection, Transport } from "../../../../src/index.ts";
import { type Fields, handler, type HttpConnection, httpMain } from "../../engine/http.ts";
import { CHUNK, MAX_STREAMS, type Spec } from "../../engine/spec.ts";
import { infoOf, NOTHING_KEPT, TLS, TRANSPORT } from "./settings.ts";

const SHAPE = process.env["QUIC_TS_BENCH_HTTP"] ?? "node";
const { ALPNProtocols: _, ...TLS_OF_HTTP } = TLS;

const config = ({ datagram, workload }: Spec) => ({
  initialPacketSize: datagram,
  maxIncomingStreams: MAX_STREAMS,
  // Thousands of connections wait for their turn.
  ...(workload.kind === "http-idle" ? { maxIdleTimeout: 0 } : {}),
});

// ---- servers

const zeros = new Uint8Array(CHUNK);
const lengthOf = (path: string): number => Number(path.slice(path.lastIndexOf("/") + 1));

function content(length: number): Uint8Array | ReadableStream<Uint8Array> {
  if (length <= CHUNK) return zeros.subarray(0, length);
  let left = length;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(left < CHUNK ? zeros.subarray(0, left) : zeros);
      left -= CHUNK;
      if (left <= 0) controller.close();
    },
  });
}

const byFetch: ServerOptions["fetch"] = async (request) => {
  if (request.method === "POST") {
    let got = 0;
    for await (const chunk of request.body!) got += chunk.length;
    return new Response(String(got));
  }
  const length = lengthOf(request.url);
  const headers: Record<string, string> = {
    "content-type": "application/octet-stream",
    "content-length": String(length),
  };
  if (request.url.includes("/fields/")) headers["x-fields"] = String([...request.headers].length);
  return new Response(content(length) as BodyInit, { headers });
};

const byStream: ServerOptions["stream"] = async (stream) => {
  if (stream.request.method === "POST") {
    let got = 0;
    for await (const chunk of stream) got += chunk.length;
    await stream.respond(200, []);
    await stream.write(Buffer.from(String(got)));
    return stream.end();
  }
  const length = lengthOf(stream.request.path);
  const head = [
    { name: "content-type", value: "application/octet-stream" },
    { name: "content-length", value: String(length) },
  ];
  if (stream.request.path.startsWith("/fields/")) {
    head.push({ name: "x-fields", value: String(stream.request.fields.length) });
  }
  void stream.respond(200, head);
  for (let left = length; left > 0; left -= CHUNK) {
    await stream.write(left < CHUNK ? zeros.subarray(0, left) : zeros);
  }
  await stream.end();
  stream.finishReading();
};

const SERVERS: Readonly<Record<string, ServerOptions>> = {
  node: { handler: handler as unknown as NodeHandler },
  fetch: { fetch: byFetch },
  stream: { stream: byStream },
};

// ---- clients

async function drain(stream: ClientStream, onData: (length: number) => void): Promise<void> {
  for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) onData(chunk.length);
}

const fieldsOf = (fields: Fields) => Object.entries(fields).map(([name, value]) => ({ name, value }));

function connectionOf(quic: Connection, authority: string): HttpConnection {
  const http = new Http3Connection(quic);
  const common = { scheme: "https", authority };
  return {
    async get(path, fields, onData) {
      const stream = await http.request({ ...common, method: "GET", path, fields: fieldsOf(fields) });
      void stream.end();
      const { status } = await stream.response();
      await drain(stream, onData);
      return status;
    },
    async post(path, bytes, chunk, onSent) {
      const stream = await http.request({ ...common, method: "POST", path, fields: [] });
      for (let left = bytes; left > 0; left -= chunk.length) {
        const part = left < chunk.length ? chunk.subarray(0, left) : chunk;
        await stream.write(part);
        onSent(part.length);
      }
      await stream.end();
      await stream.response();
      let answer = "";
      for await (const part of stream) answer += String(Buffer.from(part));
      return answer;
    },
    info: () => ({ ...infoOf(quic), http: SHAPE }),
    close: () => http.close(),
  };
}

async function fetching(spec: Spec, tls: object): Promise<HttpConnection> {
  const client = new RoundTripper({
    tls,
    config: config(spec),
    transport: { address: "127.0.0.1", ...TRANSPORT },
  });
  const origin = `https://localhost:${spec.port}`;
  const alternative = { host: "127.0.0.1", port: spec.port };
  const { quic } = await client.connect(origin, { alternative });
  return {
    async get(path, headers, onData) {
      const response = await client.roundTrip(new Request(origin + path, { headers }), { alternative });
      for await (const chunk of response.body!) onData(chunk.length);
      return response.status;
    },
    async post(path, bytes, chunk, onSent) {
      let left = bytes;
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          const part = left < chunk.length ? chunk.subarray(0, left) : chunk;
          left -= part.length;
          controller.enqueue(part);
          onSent(part.length);
          if (left === 0) controller.close();
        },
      });
      const request = { method: "POST", body, duplex: "half" } as RequestInit;
      return (await client.roundTrip(new Request(origin + path, request), { alternative })).text();
    },
    info: () => ({ ...infoOf(quic), http: SHAPE }),
    close: () => client.close(),
  };
}

await httpMain({
  async listen(spec) {
    const transport = new Transport({ address: "127.0.0.1", port: 0, ...TRANSPORT });
    const identity = { cert: readFileSync(spec.cert), key: readFileSync(spec.key) };
    const options = { ...TLS_OF_HTTP, ...identity, transport, config: config(spec) };
    const server = new Server({ ...options, ...SERVERS[SHAPE] });
    await server.listen();
    return server.address()!.port;
  },
  async client(spec) {
    const tls = { ...TLS_OF_HTTP, ...NOTHING_KEPT, ca: readFileSync(spec.ca, "utf8") };
    if (SHAPE === "fetch") return { connect: () => fetching(spec, tls), close: () => {} };
    const transport = new Transport({ address: "127.0.0.1", ...TRANSPORT });
    const target = { host: "127.0.0.1", port: spec.port };
    const settings = config(spec);
    return {
      connect: async () =>
        connectionOf(
          await transport.dial(target, { ...tls, ALPNProtocols: ["h3"] }, settings),
          `localhost:${spec.port}`,
        ),
      close: () => transport.close(),
    };
  },
});
