// Counts and offsets that pass 2³¹ do not change what their objects are to V8: see internal/protocol/wide.ts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { DeliveryRate } from "../../internal/congestion/delivery-rate.ts";
import { ConnectionStats } from "../../internal/connection/stats.ts";
import { EndpointStats } from "../../internal/endpoint/types.ts";
import { ReceiveWindow } from "../../internal/flow/receive-window.ts";
import { SendWindow } from "../../internal/flow/send-window.ts";
import { Reassembly } from "../../internal/stream/reassembly.ts";
import { SendBuffer } from "../../internal/stream/send-buffer.ts";

setFlagsFromString("--allow-natives-syntax");
const sameMap = new Function("a", "b", "return %HaveSameMap(a, b)") as (a: object, b: object) => boolean;

const BEYOND = 2 ** 33;

test("what is asked tells small integers from doubles", () => {
  class Small {
    count = 0;
  }
  const before = new Small();
  new Small().count = BEYOND;
  assert.equal(sameMap(before, new Small()), false);
});

/** Each twice: one that is looked at, and one that grows. */
const KINDS: readonly [string, () => object, (it: never) => void][] = [
  [
    "SendWindow",
    () => new SendWindow(),
    (it: SendWindow) => {
      it.raise(BEYOND);
      it.used = BEYOND;
      it.blockedDue();
    },
  ],
  [
    "ReceiveWindow",
    () => new ReceiveWindow(1000, 1000),
    (it: ReceiveWindow) => {
      it.received = BEYOND;
      it.consume(BEYOND);
      it.begin(0.5);
      it.advance(1.5, 10);
    },
  ],
  [
    "SendBuffer",
    () => new SendBuffer(),
    (it: SendBuffer) => {
      it.end = BEYOND;
      it.acked(0, BEYOND);
    },
  ],
  ["Reassembly", () => new Reassembly(), (it: Reassembly) => (it.read = it.contiguous = BEYOND)],
  [
    "ConnectionStats",
    () => new ConnectionStats(),
    (it: ConnectionStats) => (it.bytesSent = it.bytesReceived = BEYOND),
  ],
  [
    "EndpointStats",
    () => new EndpointStats(),
    (it: EndpointStats) => (it.bytesSent = it.bytesReceived = BEYOND),
  ],
  ["DeliveryRate", () => new DeliveryRate(), (it: DeliveryRate) => (it.delivered = it.lost = BEYOND)],
];

for (const [name, make, grow] of KINDS) {
  test(`${name} is the same to V8 beyond 2 GiB`, () => {
    const before = make();
    grow(make() as never);
    assert.ok(sameMap(before, make()));
  });
}
