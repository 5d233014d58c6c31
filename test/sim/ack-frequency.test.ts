// Acknowledgements as they are asked for: the ack-frequency draft.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConnectionConfig } from "../../internal/connection/config.ts";
import type { Connection } from "../../internal/connection/connection.ts";
import { configure } from "../../internal/connection/live.ts";
import type { LinkOptions } from "./network.ts";
import { replayed, Scenario } from "./scenario.ts";

function transfer(
  client: Partial<ConnectionConfig>,
  path: LinkOptions,
  seed = 5,
  server: Partial<ConnectionConfig> = {},
  begun: (server: Connection, now: number) => void = () => {},
) {
  return replayed(
    () => new Scenario({ seed, nullAead: true, traced: true, up: path, down: path, client, server }),
    (s) => {
      const { client: from, server } = s.connect();
      begun(server, s.net.now);
      const opened = s.open(from, 3_000_000, false)!;
      s.until("the transfer", () => s.state(server).streams.get(opened.stream.id)?.finished === true, 60_000);
      s.run(500);
    },
  );
}

const acks = (s: Scenario): number =>
  s.trace.server.filter(
    (event) => event.name === "packet_sent" && event.frames.some(({ type }) => type === "ack"),
  ).length;

const asked = (s: Scenario) =>
  s.trace.client.flatMap((event) =>
    event.name === "packet_sent" ? event.frames.filter(({ type }) => type === "ack_frequency") : [],
  );

describe("ack frequency in the simulator", () => {
  it("far fewer acknowledgements, and the transfer takes no longer", () => {
    const path = { delay: 25, rate: 5000 };
    const plain = transfer({}, path);
    const fewer = transfer({ ackFrequency: true }, path);
    assert.equal(asked(plain).length, 0);
    const frames = asked(fewer);
    assert.ok(frames.length >= 2 && frames.length < 30, `${frames.length}`);
    // ack-frequency#4 MUST send monotonically increasing values in the Sequence Number field
    const sequences = frames.map((frame) => frame["sequence"] as number);
    assert.deepEqual(
      sequences,
      [...sequences].sort((a, b) => a - b),
    );
    assert.ok(acks(fewer) < acks(plain) / 3, `${acks(fewer)} instead of ${acks(plain)}`);
    assert.ok(fewer.net.now < 1.1 * plain.net.now, `${fewer.net.now} and ${plain.net.now}`);
  });

  // rfc9000#13.2.2 a receiver SHOULD send an ACK frame after receiving at least two ack-eliciting packets.
  it("where nobody asks, the receiver's own threshold counts, also one that changes on the way", () => {
    const path = { delay: 25, rate: 5000 };
    const plain = acks(transfer({}, path));
    const rare = acks(transfer({}, path, 5, { ackElicitingThreshold: 10 }));
    assert.ok(rare < plain / 3 && rare > plain / 10, `${rare} instead of ${plain}`);
    const later = transfer({}, path, 5, {}, (server, now) =>
      configure(server, { ackElicitingThreshold: 10 }, now),
    );
    assert.ok(acks(later) < plain / 3, `${acks(later)} instead of ${plain}`);
    // What the peer asks for comes before that.
    const asking = transfer({ ackFrequency: true }, path, 5, { ackElicitingThreshold: 1 });
    assert.ok(acks(asking) < plain / 2, `${acks(asking)}`);
  });

  // ack-frequency#9 senders SHOULD … communicate the increased Reordering Threshold value to the receiver.
  it("on a path that reorders, the peer hears by how much, once in a round trip at most", () => {
    const path = { delay: 25, reorder: 0.1, reorderDelay: 15, rate: 5000 };
    const s = transfer({ ackFrequency: true }, path);
    const frames = asked(s).map((frame) => frame["reordering"] as number);
    assert.equal(frames[0], 3);
    const client = [...s.states.values()].find(({ connection }) => connection.role === "client")!.connection;
    const { packetThreshold } = client.recovery;
    assert.ok(packetThreshold > 10, `${packetThreshold}`);
    assert.equal(frames.at(-1), packetThreshold);
    assert.ok(frames.length < s.net.now / 50, `${frames.length} in ${s.net.now} ms`);
    // So that it acknowledges what is overtaken as rarely as the rest.
    const plain = acks(transfer({}, path));
    assert.ok(acks(s) < plain / 3, `${acks(s)} instead of ${plain}`);
  });

  it("losses and reordering are found all the same", () => {
    const s = transfer({ ackFrequency: true }, { delay: 25, loss: 0.02, reorder: 0.05, rate: 5000 });
    assert.ok(asked(s).length >= 1);
    assert.ok(s.trace.client.some((event) => event.name === "packet_lost"));
    assert.ok(s.net.now < 60_000);
  });
});
