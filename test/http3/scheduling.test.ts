// Priorities at work (rfc9218), the ORIGIN frame (rfc9412), GREASE; over real sockets.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ClientStream, DEFAULT_PRIORITY, type ServerStream } from "../../http3/index.ts";
import { encodeFrame, encodeOrigin, encodePriorityUpdate, FRAME } from "../../http3/frames.ts";
import { isReserved } from "../../http3/errors.ts";
import { EARLY_PRIORITIES, ORIGINS } from "../../http3/limits.ts";
import { EarlyPriorities } from "../../http3/priorities.ts";
import { asciiOrigins } from "../../http3/origin-set.ts";
import { TypeLength } from "../../http3/tlv.ts";
import { InvalidOptionError } from "../../src/index.ts";
import { until } from "../integration/pair.ts";
import { bytes, concat } from "./helpers.ts";
import { field, http3Pair, rawPair, readAll } from "./peers.ts";
import { serving } from "./serving.ts";

const timeout = 20_000;
const GET = { method: "GET", scheme: "https", authority: "localhost", path: "/" };
const SIZE = 600_000;

test("rfc9218#10 urgent responses arrive first; a frame changes that on the way", { timeout }, async () => {
  await using pair = await http3Pair();
  const { client, server } = pair;
  // "later" comes last by its field; "raised" is lifted above all by a frame before anything is sent.
  const fields = ["u=6", "u=2", "u=7"];
  const streams: ClientStream[] = [];
  const ended: number[] = [];
  const there: ServerStream[] = [];
  for (const value of fields) {
    const accepted = server.acceptRequest();
    const stream = await client.request({ ...GET, fields: [field("priority", value)] });
    await stream.end();
    streams.push(stream);
    there.push(await accepted);
  }
  const [, , raised] = streams;
  client.updatePriority(raised!, { urgency: 0, incremental: false });
  await until(() => there[2]!.priority.urgency === 0, "the frame");
  const reading = streams.map(async (stream) => {
    await stream.response();
    while ((await stream.read()) !== null);
    ended.push(stream.id);
  });
  for (const stream of there) {
    void stream.respond(200).catch(() => {});
    void stream.write(new Uint8Array(SIZE)).catch(() => {});
    void stream.end().catch(() => {});
  }
  await Promise.all(reading);
  assert.deepEqual(ended, [streams[2]!.id, streams[1]!.id, streams[0]!.id]);
});

test("rfc9218#8 the server's own say goes before the client's, as far as it goes", { timeout }, async () => {
  await using pair = await http3Pair();
  const { client, server } = pair;
  const accepted = server.acceptRequest();
  await client.request({ ...GET, fields: [field("priority", "u=5, i")] });
  const there = await accepted;
  assert.deepEqual(there.stream.priority, { urgency: 5, incremental: true });
  there.setPriority({ urgency: 1 });
  assert.deepEqual(there.priority, { urgency: 1, incremental: true });
  await there.respond(200, [field("priority", "u=6")]);
  assert.deepEqual(there.stream.priority, { urgency: 6, incremental: true });
  const next = server.acceptRequest();
  await client.request(GET);
  assert.deepEqual((await next).stream.priority, DEFAULT_PRIORITY);
});

test(
  "rfc9218#7.2 priorities for requests that have not come are bounded; the newest count",
  { timeout },
  async () => {
    const early = new EarlyPriorities();
    for (let i = 0; i < 10 * EARLY_PRIORITIES; i++)
      early.keep(4 * i, { urgency: i % 8, incremental: undefined });
    assert.equal(early.size, EARLY_PRIORITIES);
    assert.equal(early.take(0), null);
    const last = 4 * (10 * EARLY_PRIORITIES - 1);
    early.keep(last, { urgency: 1, incremental: true });
    assert.deepEqual(early.take(last), { urgency: 1, incremental: true });
    assert.equal(early.take(last), null);

    await using raw = await rawPair("client");
    const control = await raw.peer.settings();
    await control.write(encodePriorityUpdate(FRAME.PRIORITY_UPDATE, 0, "u=1, i"));
    await control.write(encodePriorityUpdate(FRAME.PRIORITY_UPDATE, 4000, "no dictionary (("));
    // A frame that the server has certainly read when the request comes.
    await control.drained();
    await raw.peer.request(raw.peer.get("/", field("priority", "u=7")));
    const request = await raw.ours.acceptRequest();
    assert.deepEqual(request.priority, { urgency: 1, incremental: true });
    assert.deepEqual(request.stream.priority, { urgency: 1, incremental: true });
  },
);

test(
  "rfc9412#2 the server's origins; rfc8336#2.3 its own among them, 421 takes one out",
  { timeout },
  async () => {
    await using running = await serving({
      origins: ["https://one.example", "HTTPS://Two.example:443/path", "https://three.example:8443"],
      fetch: () => new Response(null, { status: 421 }),
    });
    const connection = await running.client.connect(running.origin);
    await until(() => connection.origins !== null, "the frame");
    assert.deepEqual(
      [...connection.origins!].sort(),
      [running.origin, "https://one.example", "https://three.example:8443", "https://two.example"].sort(),
    );
    await running.fetch("/");
    assert.equal(connection.origins!.has(running.origin), false);
    assert.throws(() => asciiOrigins(["no origin"]), InvalidOptionError);
  },
);

test(
  "rfc8336#2.1 entries that are no origins are ignored; without end they are bounded",
  { timeout },
  async () => {
    await using raw = await rawPair("server");
    const control = await raw.peer.settings();
    assert.equal(raw.ours.origins, null);
    await control.write(encodeOrigin(["https://good.example", "nonsense", "https://a.example/path"]));
    await until(() => raw.ours.origins !== null, "the frame");
    assert.equal(raw.ours.origins!.has("https://good.example"), true);
    assert.equal(raw.ours.origins!.size, 2);
    for (let i = 0; i < 30; i++) {
      await control.write(encodeOrigin(Array.from({ length: 100 }, (_, j) => `https://h${i}-${j}.example`)));
    }
    await until(() => raw.ours.origins!.size >= ORIGINS, "the limit");
    await control.write(encodeOrigin(["https://last.example"]));
    await control.drained();
    assert.equal(raw.ours.origins!.size, ORIGINS);
    // An entry that is cut off is an error of the frame.
    await control.write(encodeFrame(FRAME.ORIGIN, bytes("0009"), bytes("61")));
    await raw.peer.closedWith("H3_FRAME_ERROR");
  },
);

/** Types of the frames that are whole. */
function frameTypes(bytes: Uint8Array): number[] {
  const types: number[] = [];
  const header = new TypeLength();
  for (let at = 0; at < bytes.length;) {
    at = header.read(bytes, at, null);
    if (at < 0 || at + header.length > bytes.length) break;
    types.push(header.type);
    at += header.length;
  }
  return types;
}

// rfc9114#4.1 reserved frames MAY be sent before, after, or interleaved with other frames. Ours comes before the head: nginx takes
// what follows one within the content for a part of it where the content comes late (test/interop/quirks.md).
test(
  "rfc9114#7.2.8 a client sends a reserved frame before the head of its first request, and skips the server's",
  { timeout },
  async () => {
    await using raw = await rawPair("server");
    await raw.peer.settings();
    const requests = [await raw.ours.request(GET), await raw.ours.request(GET)];
    for (const [i, request] of requests.entries()) {
      await request.write(bytes("0102"));
      await request.end();
      const stream = await raw.peer.quic.acceptStream();
      const types = frameTypes(await readAll(stream));
      if (i === 0) assert.ok(isReserved(types.shift()!));
      assert.deepEqual(types, [FRAME.HEADERS, FRAME.DATA]);
      await stream.write(
        concat(
          encodeFrame(0x21, bytes("00")),
          raw.peer.headers([field(":status", "200")]),
          encodeFrame(0x21 + 0x1f * 1000),
        ),
      );
      stream.close();
      const response = await request.response();
      assert.equal(response.status, 200);
      assert.equal(await request.read(), null);
    }
  },
);

test(
  "rfc9114#7.2.8 a server sends a reserved frame before the head of its first response, and skips the client's",
  { timeout },
  async () => {
    await using raw = await rawPair("client");
    await raw.peer.settings();
    for (const first of [true, false]) {
      const stream = await raw.peer.request(
        encodeFrame(0x21, bytes("00")),
        raw.peer.get(),
        encodeFrame(0x21 + 0x1f * 1000, bytes("0102")),
      );
      stream.close();
      const request = await raw.ours.acceptRequest();
      assert.equal(await request.read(), null);
      await request.respond(200);
      await request.write(bytes("0102"));
      await request.end();
      const types = frameTypes(await readAll(stream));
      if (first) assert.ok(isReserved(types.shift()!));
      assert.deepEqual(types, [FRAME.HEADERS, FRAME.DATA]);
    }
  },
);

test("a tunnel shares with others where its client says nothing: rfc9218#10.1", { timeout }, async () => {
  await using pair = await http3Pair({ server: { enableConnectProtocol: true } });
  const accepted = pair.server.acceptRequest();
  await pair.client.request({ ...GET, method: "CONNECT", protocol: "test" });
  assert.deepEqual((await accepted).stream.priority, { urgency: 3, incremental: true });
});
