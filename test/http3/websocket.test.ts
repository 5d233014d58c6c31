// Extended CONNECT and WebSocket over HTTP/3: rfc9220, rfc8441, with the package ws for rfc6455.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import type { Duplex } from "node:stream";
import {
  acceptWebSocket,
  type AcceptWebSocketOptions,
  Http3StateError,
  Http3StreamError,
  openWebSocket,
  type ServerStream,
  type WebSocketClass,
} from "../../http3/index.ts";
import { encodeFrame, FRAME } from "../../http3/frames.ts";
import { FrameReader } from "../../http3/frame-reader.ts";
import { bytes, hex } from "./helpers.ts";
import { field, http3Pair, rawPair, streamEnded, utf8 } from "./peers.ts";
import { serving } from "./serving.ts";

/** What of ws is used here. */
interface Socket extends NodeJS.EventEmitter {
  readonly protocol: string;
  readonly readyState: number;
  send(data: string | Uint8Array): void;
  ping(): void;
  close(code?: number, reason?: string): void;
  terminate(): void;
}

// It is a development dependency: who has not installed it sees a skip by name.
const ws = await import(String("ws")).then(
  (module: { WebSocket: WebSocketClass<Socket> }) => module.WebSocket,
  () => null,
);
const skip = ws === null ? "the package ws is not installed" : false;
const WebSocket = ws!;
const timeout = 10_000;

/** All that comes. Iterating a Duplex would destroy its other side. */
const textOf = (stream: Duplex): Promise<string> =>
  new Promise((resolve, reject) => {
    let all = "";
    stream.on("data", (chunk: Buffer) => (all += chunk.toString()));
    stream.on("end", () => resolve(all));
    stream.on("error", reject);
  });

const echo = (options: AcceptWebSocketOptions = {}) => ({
  enableConnectProtocol: true,
  connect: async (stream: ServerStream) => {
    const socket = await acceptWebSocket(stream, WebSocket, options);
    socket.on("message", (data: Buffer, binary: boolean) => socket.send(binary ? data : data.toString()));
  },
});

test(
  "messages go both ways, text and binary, small and large; ping; a close with its code",
  { timeout, skip },
  async () => {
    await using it = await serving(echo());
    const connection = await it.client.connect(it.origin);
    const socket = await openWebSocket(connection, `${it.origin}/chat?x=1`, WebSocket);
    assert.equal(socket.readyState, 1);
    socket.send("hello");
    const [first] = (await once(socket, "message")) as [Buffer, boolean];
    assert.equal(first.toString(), "hello");
    const large = Buffer.alloc(700_000, "0123456789");
    socket.send(large);
    const [second, binary] = (await once(socket, "message")) as [Buffer, boolean];
    assert.ok(binary && second.equals(large));
    socket.ping();
    await once(socket, "pong");
    socket.close(4001, "enough");
    const [code, reason] = (await once(socket, "close")) as [number, Buffer];
    assert.equal(code, 4001);
    assert.equal(reason.toString(), "enough");
    // The connection has room for the next.
    const next = await openWebSocket(connection, it.origin, WebSocket);
    next.terminate();
    assert.equal(connection.failure, null);
    assert.deepEqual(it.failures, []);
  },
);

test(
  "the server chooses a protocol; the client takes no other than it offered",
  { timeout, skip },
  async () => {
    await using it = await serving(echo({ handleProtocols: (offered) => offered[1] }));
    const connection = await it.client.connect(it.origin);
    const socket = await openWebSocket(connection, it.origin, WebSocket, { protocols: ["a", "b"] });
    assert.equal(socket.protocol, "b");
    socket.close();
    await using bad = await serving(echo({ handleProtocols: () => "zzz" }));
    const other = await bad.client.connect(bad.origin);
    // rfc6455#4.1
    await assert.rejects(openWebSocket(other, bad.origin, WebSocket, { protocols: ["a"] }), Http3StreamError);
    assert.equal(other.failure, null);
  },
);

test("what is refused, and what cannot be asked for", { timeout, skip }, async () => {
  await using it = await serving({
    enableConnectProtocol: true,
    connect: async (stream) => {
      await stream.respond(403);
      await stream.end();
    },
  });
  const connection = await it.client.connect(it.origin);
  await assert.rejects(openWebSocket(connection, it.origin, WebSocket), /403/);
  await using without = await serving({ fetch: () => new Response("hello") });
  // rfc9220#3: not before SETTINGS_ENABLE_CONNECT_PROTOCOL has come.
  const plain = await without.client.connect(without.origin);
  await assert.rejects(openWebSocket(plain, without.origin, WebSocket), Http3StateError);
  class Other {}
  await using good = await serving(echo());
  await assert.rejects(
    openWebSocket(await good.client.connect(good.origin), good.origin, Other),
    /package `ws`/,
  );
});

test("rfc6455#5.7 the bytes on the stream are those of the RFC's examples", { timeout, skip }, async () => {
  await using raw = await rawPair("client", { ours: { enableConnectProtocol: true } });
  const { peer, ours } = raw;
  await peer.settings();
  const head = (version: string) =>
    peer.headers([
      field(":method", "CONNECT"),
      field(":protocol", "websocket"),
      field(":scheme", "https"),
      field(":authority", "localhost"),
      field(":path", "/"),
      field("sec-websocket-version", version),
    ]);
  const stream = await peer.request(head("13"), encodeFrame(FRAME.DATA, bytes("818537fa213d7f9f4d5158")));
  const socket = await acceptWebSocket(await ours.acceptRequest(), WebSocket);
  const [data] = (await once(socket, "message")) as [Buffer];
  assert.equal(data.toString(), "Hello");
  socket.send("Hello");
  const reader = new FrameReader({ stream: "request", receiver: "client" });
  let got = "";
  const take = async (size: number): Promise<void> => {
    while (got.length < 2 * size) {
      for (const chunk of await stream.readMany()) {
        reader.push(chunk);
        for (let event = reader.next(); event !== null; event = reader.next())
          if (event === "data") got += hex(reader.payload);
      }
    }
  };
  await take(7);
  assert.equal(got, "810548656c6c6f");
  // rfc6455#5.1 The server MUST close the connection upon receiving a frame that is not masked.
  const closed = new Promise<number>((resolve) => socket.once("close", resolve));
  socket.on("error", () => {});
  await stream.write(encodeFrame(FRAME.DATA, bytes("810548656c6c6f")));
  await take(11);
  assert.equal(got.slice(14), "880203ea");
  stream.close();
  await closed;
  // rfc6455#4.4: another version is told which there is.
  const old = await peer.request(head("8"));
  await assert.rejects(acceptWebSocket(await ours.acceptRequest(), WebSocket), Http3StateError);
  assert.ok((await old.readMany()).length > 0);
  assert.equal(ours.failure, null);
});

test(
  "rfc9220#3 a peer that resets the stream is a connection that breaks off",
  { timeout, skip },
  async () => {
    await using it = await serving(echo());
    const connection = await it.client.connect(it.origin);
    const socket = await openWebSocket(connection, it.origin, WebSocket);
    const far = it.server.connections.values().next().value!;
    assert.equal(far.activeRequests, 1);
    socket.on("error", () => {});
    const closed = once(socket, "close");
    far.close();
    const [code] = (await closed) as [number];
    assert.equal(code, 1006);
  },
);

test("a tunnel as a Node stream: half-closed, destroyed, reset by the peer", { timeout }, async () => {
  await using pair = await http3Pair({ server: { enableConnectProtocol: true } });
  const request = { method: "CONNECT", protocol: "test", scheme: "https", authority: "localhost", path: "/" };
  const open = async () => {
    const accepted = pair.server.acceptRequest();
    const near = await pair.client.request(request);
    const far = await accepted;
    await far.respond(200);
    await near.response();
    return [near.toNodeStream(), far.toNodeStream(), near, far] as const;
  };
  const [near, far] = await open();
  near.end(utf8("question"));
  assert.equal(await textOf(far), "question");
  far.end("answer");
  assert.equal(await textOf(near), "answer");
  const [left, right, stream] = await open();
  right.on("error", () => {});
  left.on("error", () => {});
  left.destroy();
  const [error] = (await once(right, "error")) as [Http3StreamError];
  assert.ok(error instanceof Http3StreamError && error.remote);
  assert.equal(stream.writeEnded, true);
  assert.equal(pair.client.failure, null);
});

test("rfc9220#3 extended CONNECT without the setting is malformed", { timeout }, async () => {
  await using raw = await rawPair("client", {});
  const { peer } = raw;
  await peer.settings();
  const stream = await peer.request(
    peer.headers([
      field(":method", "CONNECT"),
      field(":protocol", "websocket"),
      field(":scheme", "https"),
      field(":authority", "localhost"),
      field(":path", "/"),
    ]),
  );
  await streamEnded("H3_MESSAGE_ERROR", () => stream.readMany());
  assert.equal(raw.ours.failure, null);
});
