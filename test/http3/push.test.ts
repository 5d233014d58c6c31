// Server push, rfc9114#4.6, both sides over real sockets; and peers that misuse it.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ClientStream,
  H3_ERROR,
  Http3StateError,
  Http3StreamError,
  type PushedResponse,
  type ServerPush,
  type ServerStream,
} from "../../http3/index.ts";
import {
  encodeFrame,
  encodeIdFrame,
  encodePriorityUpdate,
  encodePushPromise,
  FRAME,
} from "../../http3/frames.ts";
import { PUSHES } from "../../http3/limits.ts";
import { encodeVarint, VarintReader } from "../../http3/varint.ts";
import { TypeLength } from "../../http3/tlv.ts";
import { StreamError } from "../../src/index.ts";
import { until } from "../integration/pair.ts";
import { concat, text } from "./helpers.ts";
import { field, http3Pair, type Http3Pair, type RawPair, rawPair, utf8 } from "./peers.ts";
import { serving } from "./serving.ts";

const timeout = 10_000;
const GET = { method: "GET", scheme: "https", authority: "localhost", path: "/" };

async function exchange(pair: Http3Pair): Promise<{ near: ClientStream; far: ServerStream }> {
  const accepted = pair.server.acceptRequest();
  const near = await pair.client.request(GET);
  await near.end();
  return { near, far: await accepted };
}

async function contentOf(push: PushedResponse): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const chunk of push) parts.push(chunk);
  return text(concat(...parts));
}

/** Reads a request's response to its end, so that its promises are seen. */
async function drain(stream: ClientStream): Promise<void> {
  await stream.response();
  while ((await stream.read()) !== null);
}

async function finish(far: ServerStream): Promise<void> {
  await far.respond(200);
  await far.end();
}

test("a push is promised, and read beside the response that it goes with", { timeout }, async () => {
  const pushes: PushedResponse[] = [];
  await using pair = await http3Pair({ client: { onPush: (push) => pushes.push(push) } });
  const { near, far } = await exchange(pair);
  await until(() => pair.server.peerSettings !== null, "MAX_PUSH_ID comes with SETTINGS");
  let push: ServerPush | null = null;
  await until(() => far.writeEnded || pair.server.canPush, "MAX_PUSH_ID");
  push = await far.push({ path: "/style.css", fields: [field("accept", "text/css")] });
  assert.ok(push !== null);
  await far.respond(200);
  await far.write(utf8("page"));
  await far.end();
  await push.informational(103);
  await push.respond(200, [field("content-type", "text/css")]);
  await push.write(utf8("body {}"));
  await push.end([field("x-end", "1")]);
  await drain(near);
  assert.equal(pushes.length, 1);
  const [got] = pushes;
  assert.equal(got!.associated, near);
  assert.deepEqual(
    [got!.request.method, got!.request.authority, got!.request.path],
    ["GET", "localhost", "/style.css"],
  );
  assert.equal((await got!.response()).status, 200);
  assert.equal(await contentOf(got!), "body {}");
  assert.deepEqual(
    got!.trailers!.map(({ name, value }) => [name, value]),
    [["x-end", "1"]],
  );
});

test("ctx.push in a fetch handler; without a handler at the client it says no", { timeout }, async () => {
  const pushes: PushedResponse[] = [];
  const said: boolean[] = [];
  const options = {
    fetch: async (_request: Request, context: import("../../http3/index.ts").RequestContext) => {
      if (pushes.length === 0)
        await until(() => context.connection.canPush || said.length > 0, "MAX_PUSH_ID", 500).catch(() => {});
      said.push(await context.push({ path: "/a", headers: { "x-a": "1" } }, new Response("pushed")));
      return new Response("page");
    },
  };
  await using it = await serving(options, { onPush: (push) => pushes.push(push) });
  assert.equal(await (await it.fetch("/")).text(), "page");
  assert.deepEqual(said, [true]);
  assert.equal(await contentOf(pushes[0]!), "pushed");
  assert.equal(pushes[0]!.request.fields.find(({ name }) => name === "x-a")?.value, "1");
  await using plain = await serving(options);
  assert.equal(await (await plain.fetch("/")).text(), "page");
  assert.deepEqual(said, [true, false]);
});

test("a client cancels a promise before its stream, and a stream after it began", { timeout }, async () => {
  const pushes: PushedResponse[] = [];
  await using pair = await http3Pair({ client: { onPush: (push) => pushes.push(push) } });
  const { near, far } = await exchange(pair);
  await until(() => pair.server.canPush, "MAX_PUSH_ID");
  const one = (await far.push({ path: "/1" }))!;
  const two = (await far.push({ path: "/2" }))!;
  await finish(far);
  await drain(near);
  // The stream's header goes at once, so that there is nothing to be cancelled but the stream.
  pushes[0]!.cancel();
  await until(() => one.writeEnded || one.signal.aborted, "the first is cancelled");
  await two.respond(200);
  await two.write(utf8("begin"));
  await pushes[1]!.response();
  pushes[1]!.cancel();
  await until(() => two.signal.aborted, "the second is cancelled");
  await assert.rejects(two.write(utf8("more")), Http3StreamError);
  await assert.rejects(pushes[0]!.response(), Http3StreamError);
  assert.equal(pair.client.failure, null);
});

test("a server cancels what it promised", { timeout }, async () => {
  const pushes: PushedResponse[] = [];
  await using pair = await http3Pair({ client: { onPush: (push) => pushes.push(push) } });
  const { near, far } = await exchange(pair);
  await until(() => pair.server.canPush, "MAX_PUSH_ID");
  const push = (await far.push({ path: "/1" }))!;
  await finish(far);
  await drain(near);
  push.cancel();
  await assert.rejects(
    pushes[0]!.response(),
    (error) =>
      error instanceof Http3StreamError && error.remote && error.errorCode === H3_ERROR.H3_REQUEST_CANCELLED,
  );
});

test(
  "push IDs come back as pushes are done: more than the limit, never more at a time",
  { timeout },
  async () => {
    const taken: Promise<string>[] = [];
    await using pair = await http3Pair({
      client: {
        maxPushes: 2,
        onPush: (push) => {
          const content = contentOf(push);
          // Those of the last request never come.
          content.catch(() => {});
          taken.push(content);
        },
      },
    });
    for (let i = 0; i < 10; i++) {
      const { near, far } = await exchange(pair);
      await until(() => pair.server.canPush, "MAX_PUSH_ID");
      const push = (await far.push({ path: `/${i}` }))!;
      assert.equal(push.pushId, i);
      await push.respond(200);
      await push.write(utf8(String(i)));
      await push.end();
      await finish(far);
      await drain(near);
      await Promise.all(taken);
    }
    assert.deepEqual(await Promise.all(taken), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    const { near, far } = await exchange(pair);
    await until(() => pair.server.canPush, "MAX_PUSH_ID");
    assert.ok((await far.push({ path: "/a" })) !== null);
    assert.ok((await far.push({ path: "/b" })) !== null);
    assert.equal(await far.push({ path: "/c" }), null);
    await finish(far);
    await drain(near);
  },
);

test("what cannot be pushed is refused before anything is sent", { timeout }, async () => {
  await using pair = await http3Pair({ client: { onPush: (push) => push.cancel() } });
  const { far } = await exchange(pair);
  await until(() => pair.server.canPush, "MAX_PUSH_ID");
  await assert.rejects(far.push({ path: "/", method: "POST" as "GET" }), Http3StateError);
  await assert.rejects(far.push({ path: "/", fields: [field("content-length", "5")] }), Http3StateError);
  await finish(far);
  await assert.rejects(far.push({ path: "/" }), Http3StateError);
});

test(
  "rfc9218#7.2 a PRIORITY_UPDATE moves a push; it begins behind what was asked for",
  { timeout },
  async () => {
    const pushes: PushedResponse[] = [];
    await using pair = await http3Pair({ client: { onPush: (push) => pushes.push(push) } });
    const { near, far } = await exchange(pair);
    await until(() => pair.server.canPush, "MAX_PUSH_ID");
    const push = (await far.push({ path: "/1" }))!;
    assert.deepEqual(push.stream.priority, { urgency: 4, incremental: false });
    await finish(far);
    await drain(near);
    pushes[0]!.updatePriority({ urgency: 0, incremental: true });
    await until(() => push.priority.urgency === 0, "the frame");
    assert.deepEqual(push.stream.priority, { urgency: 0, incremental: true });
  },
);

/** Our client before a raw server, with a request that it can answer. */
async function asked(options: Parameters<typeof rawPair>[1]): Promise<
  RawPair & {
    request: ClientStream;
    stream: Awaited<ReturnType<RawPair["peer"]["quic"]["acceptStream"]>>;
    promise(id: number, ...fields: ReturnType<typeof field>[]): Promise<unknown>;
  }
> {
  const raw = await rawPair("server", options);
  await raw.peer.settings();
  const accepting = raw.peer.quic.acceptStream();
  const request = await raw.ours.request(GET);
  await request.end();
  const stream = await accepting;
  void request.response().catch(() => {});
  const head = [
    field(":method", "GET"),
    field(":scheme", "https"),
    field(":authority", "localhost"),
    field(":path", "/pushed"),
  ];
  return {
    ...raw,
    request,
    stream,
    promise: (id, ...fields) =>
      stream.write(encodePushPromise(id, raw.peer.encoder.encode(0, fields.length === 0 ? head : fields))),
    [Symbol.asyncDispose]: () => raw[Symbol.asyncDispose](),
  };
}

test(
  "hostile servers: IDs that are not allowed, used twice, promised otherwise",
  { timeout: 30_000 },
  async () => {
    const ours = { onPush: () => {}, maxPushes: 2 };
    type Asked = Awaited<ReturnType<typeof asked>>;
    const response = (raw: Asked) => raw.peer.headers([field(":status", "200")]);
    const cases: [
      string,
      Parameters<typeof rawPair>[1],
      Parameters<RawPair["peer"]["closedWith"]>[0],
      (raw: Asked) => Promise<unknown>,
    ][] = [
      // rfc9114#4.6 A client MUST treat receipt of a push stream as a connection error of type H3_ID_ERROR when no MAX_PUSH_ID
      // frame has been sent or when the stream references a push ID that is greater than the maximum push ID.
      ["a push stream where none is allowed", {}, "H3_ID_ERROR", (raw) => raw.peer.uni(1, encodeVarint(0))],
      ["a push stream beyond the limit", { ours }, "H3_ID_ERROR", (raw) => raw.peer.uni(1, encodeVarint(2))],
      // rfc9114#7.2.5
      ["a promise where none is allowed", {}, "H3_ID_ERROR", (raw) => raw.promise(0)],
      ["a promise beyond the limit", { ours }, "H3_ID_ERROR", (raw) => raw.promise(2)],
      // rfc9114#7.2.3
      [
        "CANCEL_PUSH beyond the limit",
        { ours },
        "H3_ID_ERROR",
        (raw) => raw.peer.control!.write(encodeIdFrame(FRAME.CANCEL_PUSH, 2)),
      ],
      // rfc9114#6.2.2 Each push ID MUST only be used once in a push stream header.
      [
        "two streams for a push",
        { ours },
        "H3_ID_ERROR",
        async (raw) => {
          await raw.promise(0);
          await raw.peer.uni(1, encodeVarint(0), response(raw));
          await raw.peer.uni(1, encodeVarint(0), response(raw));
        },
      ],
      // rfc9114#7.2.5: promised twice, with other fields.
      [
        "another promise for the same ID",
        { ours },
        "H3_GENERAL_PROTOCOL_ERROR",
        async (raw) => {
          await raw.promise(0);
          await raw.promise(
            0,
            field(":method", "GET"),
            field(":scheme", "https"),
            field(":authority", "localhost"),
            field(":path", "/other"),
          );
        },
      ],
      // rfc9114#4.1
      [
        "a promise on a push stream",
        { ours: { onPush: (push: PushedResponse) => void push.response().catch(() => {}) } },
        "H3_FRAME_UNEXPECTED",
        async (raw) => {
          await raw.promise(0);
          await raw.peer.uni(
            1,
            encodeVarint(0),
            encodePushPromise(1, raw.peer.encoder.encode(0, [field(":method", "GET")])),
          );
        },
      ],
    ];
    for (const [what, options, error, attack] of cases) {
      await using raw = await asked(options);
      await attack(raw).catch(() => {});
      await raw.peer.closedWith(error).catch((cause: unknown) => {
        throw new Error(what, { cause });
      });
    }
  },
);

test(
  "rfc9114#4.6 promises of another origin, unsafe, or with content are cancelled and never shown",
  { timeout },
  async () => {
    let shown = 0;
    await using raw = await asked({ ours: { onPush: () => shown++ } });
    const head = (method: string, authority: string, ...more: ReturnType<typeof field>[]) => [
      field(":method", method),
      field(":scheme", "https"),
      field(":authority", authority),
      field(":path", "/"),
      ...more,
    ];
    await raw.promise(0, ...head("GET", "evil.example"));
    await raw.promise(1, ...head("POST", "localhost"));
    await raw.promise(2, ...head("GET", "localhost", field("content-length", "9")));
    await raw.promise(3, field(":path", "/"));
    const control = await controlOf(raw, 4);
    assert.deepEqual(control, [0, 1, 2, 3]);
    // A stream for one of them is stopped.
    const stream = await raw.peer.uni(1, encodeVarint(0));
    await until(() => stream.context.aborted, "STOP_SENDING");
    assert.ok(stream.context.reason instanceof StreamError);
    assert.equal((stream.context.reason as StreamError).errorCode, H3_ERROR.H3_REQUEST_CANCELLED);
    assert.equal(shown, 0);
    assert.equal(raw.ours.failure, null);
  },
);

/** Push IDs of the CANCEL_PUSH frames on our control stream, when there are that many. */
async function controlOf(raw: RawPair, count: number): Promise<number[]> {
  for (;;) {
    const stream = await raw.peer.quic.acceptUniStream();
    let seen: Uint8Array = new Uint8Array(0);
    for (const chunk of await stream.readMany()) seen = concat(seen, chunk);
    if (seen[0] !== 0) continue;
    for (;;) {
      const ids: number[] = [];
      const header = new TypeLength();
      for (let at = 1; at < seen.length;) {
        at = header.read(seen, at, null);
        if (at < 0) break;
        if (header.type === FRAME.CANCEL_PUSH) ids.push(new VarintReader(seen.subarray(at)).next());
        at += header.length;
      }
      if (ids.length >= count) return ids;
      for (const chunk of await stream.readMany()) seen = concat(seen, chunk);
    }
  }
}

test("a push stream may come before its promise, and CANCEL_PUSH before either", { timeout }, async () => {
  const pushes: PushedResponse[] = [];
  await using raw = await asked({ ours: { onPush: (push) => pushes.push(push) } });
  await raw.peer.control!.write(encodeIdFrame(FRAME.CANCEL_PUSH, 0));
  const early = await raw.peer.uni(
    1,
    encodeVarint(1),
    raw.peer.headers([field(":status", "200")]),
    encodeFrame(FRAME.DATA, utf8("early")),
  );
  early.close();
  await early.drained();
  await raw.promise(0);
  await raw.promise(1);
  await until(() => pushes.length === 1, "the promise");
  assert.equal(pushes[0]!.pushId, 1);
  assert.equal(await contentOf(pushes[0]!), "early");
  assert.equal(raw.ours.failure, null);
});

test("a malformed push ends alone", { timeout }, async () => {
  const pushes: PushedResponse[] = [];
  await using raw = await asked({ ours: { onPush: (push) => pushes.push(push) } });
  await raw.promise(0);
  await until(() => pushes.length === 1, "the promise");
  const stream = await raw.peer.uni(1, encodeVarint(0), raw.peer.headers([field("x", "y")]));
  // rfc9114#4.1.2 Clients MUST NOT accept a malformed response.
  await assert.rejects(pushes[0]!.response(), Http3StreamError);
  await until(() => stream.context.aborted, "STOP_SENDING");
  assert.equal((stream.context.reason as StreamError).errorCode, H3_ERROR.H3_MESSAGE_ERROR);
  assert.equal(raw.ours.failure, null);
});

test("hostile clients: what they may not say about pushes", { timeout }, async () => {
  for (const [first, second, error] of [
    // rfc9114#7.2.3: a push that was not promised.
    [5, encodeIdFrame(FRAME.CANCEL_PUSH, 0), "H3_ID_ERROR"],
    // rfc9114#7.2.7: a limit that falls.
    [5, encodeIdFrame(FRAME.MAX_PUSH_ID, 4), "H3_ID_ERROR"],
    // rfc9218#7.2
    [5, encodePriorityUpdate(FRAME.PRIORITY_UPDATE_PUSH, 0, "u=1"), "H3_ID_ERROR"],
  ] as const) {
    await using raw = await rawPair("client");
    const control = await raw.peer.settings();
    await control.write(concat(encodeIdFrame(FRAME.MAX_PUSH_ID, first), second)).catch(() => {});
    await raw.peer.closedWith(error);
  }
});

test(
  "rfc9114#5.2 after a client's GOAWAY nothing is promised, and what it refuses is cancelled",
  { timeout },
  async () => {
    await using raw = await rawPair("client");
    const control = await raw.peer.settings();
    await control.write(encodeIdFrame(FRAME.MAX_PUSH_ID, 9));
    await raw.peer.request(raw.peer.get());
    const request = await raw.ours.acceptRequest();
    await until(() => raw.ours.canPush, "MAX_PUSH_ID");
    const [zero, one] = [await request.push({ path: "/0" }), await request.push({ path: "/1" })];
    await control.write(encodeIdFrame(FRAME.GOAWAY, 1));
    await until(() => one!.writeEnded, "the second is cancelled");
    assert.equal(zero!.writeEnded, false);
    assert.equal(await request.push({ path: "/2" }), null);
  },
);

test(
  "floods of promises: each is cancelled or read, what is kept is bounded",
  { timeout: 30_000 },
  async () => {
    let shown = 0;
    await using raw = await asked({ ours: { onPush: () => shown++ } });
    // All that is allowed, and never a stream: no more are.
    for (let id = 0; id < PUSHES; id++) await raw.promise(id);
    await until(() => shown === PUSHES, "all are shown");
    await raw.promise(PUSHES).catch(() => {});
    await raw.peer.closedWith("H3_ID_ERROR");

    // Cancelled over and over: each takes a frame, of which there are only so many a second.
    await using other = await asked({ ours: { onPush: (push) => push.cancel() } });
    const flood = async () => {
      for (let id = 0; ; id++) await other.peer.control!.write(encodeIdFrame(FRAME.CANCEL_PUSH, id % PUSHES));
    };
    await assert.rejects(flood());
    await other.peer.closedWith("H3_EXCESSIVE_LOAD");
  },
);
