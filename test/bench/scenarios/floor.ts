// A download against the floor of its datagram size: the same socket and AEAD without QUIC.

import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { compiled } from "../build/tree.ts";
import { writeCertificates } from "../certificates.ts";
import { plainTree } from "../child.ts";
import { measure } from "../measure.ts";
import { Ours } from "../peers/index.ts";
import { type Row, row } from "../rows.ts";
import { assertExpected, type Context, type Scenario } from "../scenario.ts";
import { NO_WORK } from "./peers.ts";

const PROGRAM = join(import.meta.dirname, "..", "floor.ts");
const SIZES = [1452, 8900];
/**
 * MB. The floor is compiled in no time, a connection takes more than a second to be: it has to be a small part. The first
 * tenth is not measured, here or there.
 */
const LONG = 10_000;

function message<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once("message", (value) => resolve(value as T));
    child.once("exit", (code) => reject(new Error(`the floor's process ended with ${code}`)));
  });
}

interface Report {
  readonly bytes: number;
  readonly packets: number;
  readonly bad: number;
  readonly seconds: number;
}

async function floorOnce(bytes: number, size: number): Promise<number> {
  const program = compiled(plainTree(), PROGRAM);
  const receiver = fork(program, ["receiver", String(bytes / 10)]);
  const { port } = await message<{ port: number }>(receiver);
  const sender = fork(program, ["sender", String(port), String(bytes), String(size)]);
  await message(sender);
  await new Promise((resolve) => setTimeout(resolve, 200));
  const answer = message<Report>(receiver);
  receiver.send("report");
  const report = await answer;
  receiver.disconnect();
  if (report.bad > 0) throw new Error(`${report.bad} of ${report.packets} packets did not open`);
  return report.bytes / 1e6 / report.seconds;
}

async function run(context: Context): Promise<Row[]> {
  const runs = context.runs ?? (context.quick ? 1 : 5);
  const bytes = (context.megabytes ?? (context.quick ? 300 : LONG)) * 1e6;
  const certificates = writeCertificates();
  const ours = new Ours();
  const rows: Row[] = [];
  try {
    for (const size of SIZES) {
      const here: number[] = [];
      const there: number[] = [];
      for (let i = 0; i < runs; i++) {
        const workload = { ...NO_WORK, kind: "download", bytes } as const;
        const { client } = await measure(ours, workload, { ...certificates, datagram: size });
        assertExpected(client.info, context.expect);
        here.push(client.bytes / 1e6 / client.seconds);
        there.push(await floorOnce(bytes, size));
        context.log(
          `floor, ${size} bytes, ${i + 1}/${runs}: ${here.at(-1)!.toFixed(0)} MB/s, floor ${there.at(-1)!.toFixed(0)}`,
        );
      }
      rows.push(
        row({
          scenario: `floor-${size}`,
          peer: "floor",
          unit: "MB/s",
          better: "larger",
          ours: here,
          theirs: there,
          notes: [
            "the floor: packets sealed, sent, received and opened by ours, without QUIC; what arrives counts",
          ],
        }),
      );
    }
  } finally {
    certificates.remove();
  }
  return rows;
}

export const floor: Scenario = {
  name: "floor",
  also: SIZES.map((size) => `floor-${size}`),
  about: "MB/s of a download at 1,452 and 8,900 byte datagrams, against sealing, sending and opening alone",
  run,
};
