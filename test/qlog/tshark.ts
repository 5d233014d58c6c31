// What tshark makes of our packets with our key log, against what our qlogs say was sent.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { qlogCallback } from "../../qlog/index.ts";
import { Scenario } from "../sim/scenario.ts";
import { runTool, tool } from "./cddl.ts";
import { records } from "./runs.ts";

interface Captured {
  readonly bytes: Uint8Array;
  readonly client: boolean;
  readonly time: number;
}

/** pcap with raw IPv4 packets; checksums are left out, as offloading cards do. */
function pcap(datagrams: readonly Captured[]): Buffer {
  const parts: Buffer[] = [];
  const head = Buffer.alloc(24);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(262_144, 16);
  head.writeUInt32LE(101, 20);
  parts.push(head);
  for (const { bytes, client, time } of datagrams) {
    const packet = Buffer.alloc(16 + 28);
    packet.writeUInt32LE(Math.floor(time / 1000), 0);
    packet.writeUInt32LE(Math.floor((time % 1000) * 1000), 4);
    packet.writeUInt32LE(28 + bytes.length, 8);
    packet.writeUInt32LE(28 + bytes.length, 12);
    packet.set([0x45, 0], 16);
    packet.writeUInt16BE(28 + bytes.length, 18);
    packet.set([64, 17], 24);
    packet.set(client ? [192, 0, 2, 1, 203, 0, 113, 1] : [203, 0, 113, 1, 192, 0, 2, 1], 28);
    packet.writeUInt16BE(client ? 50_000 : 4433, 36);
    packet.writeUInt16BE(client ? 4433 : 50_000, 38);
    packet.writeUInt16BE(8 + bytes.length, 40);
    parts.push(packet, Buffer.from(bytes));
  }
  return Buffer.concat(parts);
}

const NAMES: Record<number, string> = {
  0x00: "padding",
  0x01: "ping",
  0x02: "ack",
  0x03: "ack",
  0x04: "reset_stream",
  0x05: "stop_sending",
  0x06: "crypto",
  0x07: "new_token",
  0x10: "max_data",
  0x11: "max_stream_data",
  0x12: "max_streams",
  0x13: "max_streams",
  0x14: "data_blocked",
  0x15: "stream_data_blocked",
  0x16: "streams_blocked",
  0x17: "streams_blocked",
  0x18: "new_connection_id",
  0x19: "retire_connection_id",
  0x1a: "path_challenge",
  0x1b: "path_response",
  0x1c: "connection_close",
  0x1d: "connection_close",
  0x1e: "handshake_done",
};

type Counts = { [type: string]: number };
const count = (counts: Counts, type: string): void => void (counts[type] = (counts[type] ?? 0) + 1);
const sorted = (counts: Counts): Counts => Object.fromEntries(Object.entries(counts).sort());

/** The type of a Retry packet in its first byte, rfc9000#17.2.5. */
const RETRY = "3";

const RUNS = [
  { name: "plain", updates: 0, retry: false },
  { name: "key updates", updates: 3, retry: false },
  { name: "Retry", updates: 0, retry: true },
];

/** Runs connections of ours, plain, with key updates and with a Retry, and compares. Skips by name without tshark. */
export function checkWithTshark(work: string): void {
  const tshark = tool("tshark");
  if (typeof tshark === "string") {
    console.log(`skipped: tshark (${tshark})`);
    return;
  }
  for (const [index, { name, updates, retry }] of RUNS.entries()) {
    const logs = { client: "", server: "" };
    const tracer = qlogCallback((text, info) => void (logs[info.role] += text), { level: "core" });
    const scenario = new Scenario({
      seed: 40 + index,
      serverEndpoint: { verifySourceAddress: () => retry },
      client: { tracer, keyLog: true },
      server: { tracer },
    });
    const captured: Captured[] = [];
    const keys: string[] = [];
    const { net } = scenario;
    const send = net.send.bind(net);
    net.send = (datagram, from) => {
      captured.push({ bytes: datagram.bytes.slice(), client: from === scenario.client, time: net.now });
      send(datagram, from);
    };
    const onEvent = scenario.client.onEvent;
    scenario.client.onEvent = (event) => {
      if (event.type !== "accepted" && event.event.type === "key_log") keys.push(event.event.line);
      onEvent(event);
    };
    const { client, server } = scenario.connect();
    scenario.transfer(client, server, 200_000);
    let phases = 0;
    for (let i = 0; i < updates; i++) {
      if (client.updateKeys()) phases++;
      scenario.transfer(server, client, 50_000);
      scenario.run(1000);
    }
    assert.ok(phases >= Math.min(updates, 1), "keys were updated");
    client.closeWithError(3n, "bye", net.now);
    scenario.run(30_000);

    const capture = join(work, `run-${index}.pcap`);
    const keyLog = join(work, `run-${index}.keys`);
    writeFileSync(capture, pcap(captured));
    writeFileSync(keyLog, `${keys.join("\n")}\n`);
    const fields = [
      "-T",
      "fields",
      "-e",
      "udp.srcport",
      "-e",
      "quic.frame_type",
      "-e",
      "quic.decryption_failed",
      "-e",
      "quic.long.packet_type",
    ];
    const { status, stdout, stderr } = runTool(tshark, [
      "-r",
      capture,
      "-o",
      `tls.keylog_file:${keyLog}`,
      "-d",
      "udp.port==4433,quic",
      ...fields,
    ]);
    assert.equal(status, 0, stderr);
    let retries = 0;
    const seen: { [role: string]: Counts } = { client: {}, server: {} };
    for (const line of stdout.split("\n")) {
      const [port, types, failed, long] = line.split("\t");
      if (port === undefined || port === "") continue;
      if (retry && long === RETRY) {
        // No frames, and nothing to decrypt.
        retries++;
        continue;
      }
      assert.ok(failed === undefined || failed === "", `tshark could not decrypt: ${line}`);
      assert.ok(types !== undefined && types !== "", `a datagram shows no frame: ${line}`);
      for (const text of types.split(",")) {
        const type = Number(text);
        count(
          seen[port === "50000" ? "client" : "server"]!,
          type >= 8 && type <= 15 ? "stream" : (NAMES[type] ?? text),
        );
      }
    }
    const retriesLogged = records(logs.client).filter(
      ({ name, data }) =>
        name === "quic:packet_received" &&
        (data as { header: { packet_type: string } }).header.packet_type === "retry",
    ).length;
    assert.equal(retries, retry ? 1 : 0);
    assert.equal(retriesLogged, retries);
    const total = { frames: 0 };
    for (const role of ["client", "server"] as const) {
      const ours: Counts = {};
      for (const record of records(logs[role])) {
        if (record["name"] !== "quic:packet_sent") continue;
        const { frames } = record["data"] as { frames: { frame_type: string }[] };
        for (const frame of frames) count(ours, frame.frame_type);
      }
      assert.deepEqual(
        sorted(ours),
        sorted(seen[role]!),
        `${role}: our qlog (first) and tshark (second) differ`,
      );
      for (const n of Object.values(ours)) total.frames += n;
    }
    console.log(
      `tshark, ${name}: ${captured.length} datagrams, ${phases} key updates: all decrypted, ${total.frames} frames agree`,
    );
  }
}
