// Clients that cost much and give little: memory stays bounded, and others are served meanwhile. rfc9114#10.5
import assert from "node:assert/strict";
import { test } from "node:test";
import { Http3Connection, type ServerOptions } from "../../http3/index.ts";
import { encodeFrame, frameHeader, FRAME } from "../../http3/frames.ts";
import { type Config, type Stream, Transport } from "../../src/index.ts";
import { authority, until } from "../integration/pair.ts";
import { bytes, concat, text } from "./helpers.ts";
import { field, RawPeer, readAll, streamEnded, utf8 } from "./peers.ts";
import { serving, type Serving } from "./serving.ts";

const timeout = 30_000;

/** A server, a good client, and a raw connection that will misbehave. */
async function attacked(
  options: ServerOptions,
  config: Config = {},
): Promise<AsyncDisposable & { it: Serving; peer: RawPeer; ours: Http3Connection }> {
  const it = await serving(options);
  const connected = new Promise<Http3Connection>((resolve) => it.server.once("connection", resolve));
  const transport = new Transport({ address: "127.0.0.1" });
  const quic = await transport.dial(
    `127.0.0.1:${it.server.address()!.port}`,
    { ca: authority.cert, servername: "localhost", ALPNProtocols: ["h3"] },
    config,
  );
  return {
    it,
    peer: new RawPeer(quic),
    ours: await connected,
    async [Symbol.asyncDispose]() {
      await transport.close();
      await it[Symbol.asyncDispose]();
    },
  };
}

/** Others are served. */
async function othersGoOn(it: Serving): Promise<void> {
  const response = await it.fetch("/other");
  assert.equal(response.status, 200);
  assert.equal(await response.text(), "ok");
}

test(
  "clients that do not read: what handlers may produce is bounded by QUIC's buffers",
  { timeout },
  async () => {
    let produced = 0;
    const part = new Uint8Array(65_536);
    await using all = await attacked({
      fetch: ({ url }) => {
        if (url.endsWith("/other")) return new Response("ok");
        return new Response(
          new ReadableStream({
            pull(controller) {
              produced += part.length;
              controller.enqueue(part);
            },
          }),
        );
      },
      stallTimeout: 1000,
    });
    const { it, peer, ours } = all;
    await peer.settings();
    for (let i = 0; i < 50; i++) {
      const stream = await peer.request(peer.get("/endless"));
      stream.close();
    }
    // Nothing is read. What all of them together have taken comes to a stop …
    let before = -1;
    await until(
      () => {
        const still = produced === before && produced > 0;
        before = produced;
        return still && ours.activeRequests === 50;
      },
      "a standstill",
      8000,
    );
    // … at the connection's send buffer, a part for each stream on its way, and the peer's windows.
    assert.ok(produced < 40_000_000, `${produced} bytes`);
    await othersGoOn(it);
    // Who makes no progress is given up, and its handler ends.
    await until(() => ours.activeRequests === 0, "all are given up", 8000);
    assert.equal(ours.failure, null);
  },
);

test("clients that begin requests and do not go on are given up", { timeout }, async () => {
  await using all = await attacked({ fetch: () => new Response("ok"), headersTimeout: 300 });
  const { it, peer, ours } = all;
  await peer.settings();
  const head = peer.get("/");
  const streams: Stream[] = [];
  for (let i = 0; i < 90; i++)
    streams.push(await peer.request(head.subarray(0, 1 + (i % (head.length - 1)))));
  await othersGoOn(it);
  await streamEnded("H3_REQUEST_REJECTED", () => streams[0]!.readMany());
  await until(() => ours.activeRequests === 0, "all are given up");
  // The connection is good for requests that go on.
  const good = await peer.request(head);
  good.close();
  assert.ok((await readAll(good)).length > 0);
});

test(
  "rfc9114#4.2.2 header sections that announce too much are answered with 431, unread",
  { timeout },
  async () => {
    await using all = await attacked({ fetch: () => new Response("ok") });
    const { it, peer, ours } = all;
    await peer.settings();
    const stream = await peer.request(frameHeader(FRAME.HEADERS, 50_000_000), new Uint8Array(1000));
    const answer = await readAll(stream);
    assert.match(text(answer), /431/);
    await othersGoOn(it);
    assert.equal(ours.failure, null);
  },
);

/** An integer with a prefix, rfc7541#5.1. */
function prefixed(first: number, bits: number, value: number): number[] {
  const most = 2 ** bits - 1;
  if (value < most) return [first | value];
  const out = [first | most];
  for (value -= most; value >= 128; value = Math.floor(value / 128)) out.push((value & 127) | 128);
  return [...out, value];
}

/** The pseudo-header fields of a GET by the static table, rfc9204#appendix-A. */
const PSEUDO = concat(bytes("d1d7c1"), Uint8Array.of(0x50, 9), utf8("localhost"));

test(
  "rfc9114#4.2.2 a header bomb is measured after its expansion: 431, and no more than the limit is kept",
  { timeout },
  async () => {
    let asked = 0;
    await using all = await attacked({
      fetch: () => {
        asked++;
        return new Response("ok");
      },
    });
    const { it, peer, ours } = all;
    await peer.settings();
    await ours.settings;
    // One entry of nearly the whole table …
    const value = new Uint8Array(4000).fill(0x61);
    await peer.uni(
      2,
      Uint8Array.from([...prefixed(0x20, 5, 4096), ...prefixed(0x40, 5, 1)]),
      utf8("x"),
      Uint8Array.from(prefixed(0x00, 7, value.length)),
      value,
    );
    // … and 30,000 references to it, of a byte each: 120 MB.
    const bomb = concat(bytes("0200"), PSEUDO, new Uint8Array(30_000).fill(0x80));
    const { arrayBuffers, heapUsed } = process.memoryUsage();
    for (let i = 0; i < 20; i++) {
      const stream = await peer.request(encodeFrame(FRAME.HEADERS, bomb));
      assert.match(text(await readAll(stream)), /431/);
    }
    const after = process.memoryUsage();
    assert.ok(after.arrayBuffers + after.heapUsed - arrayBuffers - heapUsed < 100_000_000);
    assert.equal(asked, 0);
    await othersGoOn(it);
    // A few references are a request like any other.
    const good = await peer.request(encodeFrame(FRAME.HEADERS, concat(bytes("0200"), PSEUDO, bytes("8080"))));
    good.close();
    assert.ok((await readAll(good)).length > 0);
    assert.equal(asked, 2);
  },
);

test(
  "rfc9204#2.1.2 more blocked streams than are allowed end the connection; those that are hold up no one",
  { timeout },
  async () => {
    await using all = await attacked({ fetch: () => new Response("ok"), qpackBlockedStreams: 20 });
    const { it, peer, ours } = all;
    await peer.settings();
    // They wait for an entry that never comes.
    const blocked = encodeFrame(FRAME.HEADERS, concat(bytes("0200"), PSEUDO, bytes("80")));
    for (let i = 0; i < 20; i++) await peer.request(blocked);
    await until(() => ours.compression.blocked === 20, "all wait");
    const good = await peer.request(peer.get());
    good.close();
    assert.ok((await readAll(good)).length > 0);
    // One that is given up makes room for another, and its memory goes.
    await othersGoOn(it);
    await peer.request(blocked);
    await peer.closedWith("QPACK_DECOMPRESSION_FAILED");
    await othersGoOn(it);
  },
);

test("a flood of resets ends its connection, not the others", { timeout }, async () => {
  await using all = await attacked({
    fetch: ({ url, signal }) => {
      if (url.endsWith("/other")) return new Response("ok");
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(new Error("the client left")), { once: true });
      });
    },
  });
  const { it, peer, ours } = all;
  await peer.settings();
  const head = peer.get("/slow");
  const flood = (async () => {
    for (;;) {
      const stream = await peer.request(head);
      stream.cancelWrite(0x10c);
      stream.cancelRead(0x10c);
    }
  })();
  flood.catch(() => {});
  await othersGoOn(it);
  await assert.rejects(flood);
  await peer.closedWith("H3_EXCESSIVE_LOAD");
  await until(() => ours.activeRequests === 0, "nothing is left of it");
  await othersGoOn(it);
});

test(
  "a trailer section, too, has a limit; many fields of nothing count 32 bytes each",
  { timeout },
  async () => {
    await using all = await attacked({
      fetch: async (request) => {
        if (request.url.endsWith("/other")) return new Response("ok");
        await request.text();
        return new Response("ok");
      },
    });
    const { it, peer } = all;
    await peer.settings();
    // rfc9114#4.2.2: the size is that of names and values and 32 bytes a field. 6 bytes each here, on the wire 4.
    const many = Array.from({ length: 2000 }, () => field("a", "b"));
    const large = await peer.request(peer.get("/", ...many));
    assert.match(text(await readAll(large)), /431/);
    const stream = await peer.request(
      peer.headers([
        field(":method", "POST"),
        field(":scheme", "https"),
        field(":authority", "localhost"),
        field(":path", "/"),
      ]),
      peer.headers(many),
    );
    stream.close();
    await streamEnded("H3_EXCESSIVE_LOAD", () => readAll(stream));
    await othersGoOn(it);
  },
);
