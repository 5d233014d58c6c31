// Nothing that is due waits for a wake-up that does not come.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connectClient } from "../../internal/connection/client.ts";
import { connectionConfig, type ConnectionConfig } from "../../internal/connection/config.ts";
import type { Connection } from "../../internal/connection/connection.ts";
import { EventQueue } from "../../internal/connection/events.ts";
import { newRenoFactory } from "../../internal/congestion/newreno.ts";
import { simProvider } from "../../internal/crypto/sim.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import { TxBatch } from "../../internal/protocol/batch.ts";
import { ApplicationError } from "../../internal/protocol/errors.ts";
import type { Path } from "../../internal/path/path.ts";
import { Stream } from "../../internal/stream/stream.ts";
import { seeded } from "../path/seeded.ts";

function client(config: Partial<ConnectionConfig> = {}, alpn = ["test"]): Connection {
  const provider = simProvider();
  const random = seeded(1);
  const nothing = () => {};
  return connectClient(
    {
      remote: makeAddress("192.0.2.1", 443),
      config: connectionConfig({ provider, random, ...config }),
      tls: { alpn, serverName: "example.com", verify: () => ({ ok: true }) },
    },
    {
      cids: {
        length: 8,
        generate: (source) => {
          const cid = new Uint8Array(8);
          source(cid);
          return cid;
        },
      },
      resetToken: () => new Uint8Array(16),
    },
    {
      addCid: nothing,
      removeCid: nothing,
      hasCid: () => false,
      addResetToken: nothing,
      removeResetToken: nothing,
      wantTransmit: nothing,
      timerChanged: nothing,
      hasEvents: nothing,
    },
    0,
    0,
  );
}

test("a CONNECTION_CLOSE that finds no room in the batch asks for the next one", () => {
  const connection = client();
  connection.transmit(new TxBatch(), 1);
  connection.closeWithError(0n, "", 2);
  assert.equal(connection.transmit(new TxBatch(1210), 3), true);
  const tx = new TxBatch();
  assert.equal(connection.transmit(tx, 3), false);
  assert.equal(tx.count, 1);
});

test("rfc9002#7.7 the pacer's timer is set for CRYPTO data and control frames, not for stream data alone", () => {
  const connection = client(
    {
      congestionControl: (options) => {
        const inner = newRenoFactory(options);
        const changed: Record<string | symbol, unknown> = { cwnd: 1e9, pacingRate: () => 100 };
        return new Proxy(inner, {
          get: (target, key) => {
            if (key in changed) return changed[key];
            const value: unknown = Reflect.get(target, key, target);
            return typeof value === "function" ? (value.bind(target) as unknown) : value;
          },
        });
      },
    },
    Array.from({ length: 200 }, (_, i) => `${i}`.padStart(100, "x")),
  );
  while (connection.transmit(new TxBatch(), 1));
  const next = connection.timeout();
  assert.ok(next < 100, `waits until ${next}`);
  const tx = new TxBatch();
  connection.handleTimeout(next, 0);
  connection.transmit(tx, next);
  assert.ok(tx.count > 0);
});

test("events: however many there are the end is told, and nothing after it", () => {
  const events = new EventQueue();
  const count = 20_000;
  const path = {} as Path;
  for (let i = 0; i < count; i++)
    events.push({ type: "stream_opened", stream: new Stream(4 * i, null, null) });
  for (let i = 0; i < count; i++) events.push({ type: "streams_available", bidi: i % 2 === 0 });
  for (let i = 0; i < count; i++) events.push({ type: "path_changed", remote: `${i}`, path });
  events.push({ type: "closed", error: new ApplicationError(0n, "", true) });
  events.push({ type: "stream_opened", stream: new Stream(1, null, null) });
  const seen: Record<string, number> = {};
  let last = "";
  for (let event = events.poll(); event !== null; event = events.poll()) {
    seen[event.type] = (seen[event.type] ?? 0) + 1;
    last = event.type;
    if (event.type === "path_changed") assert.equal(event.remote, `${count - 1}`, "the latest address");
  }
  assert.deepEqual(seen, { stream_opened: count, streams_available: 2, path_changed: 1, closed: 1 });
  assert.equal(last, "closed");
  assert.ok(events.isEmpty);
});
