// The server's part of the workloads: see spec.ts.

import type { BenchStream } from "./adapter.ts";
import { CHUNK, HEADER, OP_BOTH, OP_COUNT, OP_DOWNLOAD, OP_REPEAT, OP_UPLOAD } from "./spec.ts";

const chunk = new Uint8Array(CHUNK);

/** Reads a request: the operation, the length, and what came behind it. Null at the end of the stream. */
async function readHeader(stream: BenchStream): Promise<{ op: number; length: number; rest: number } | null> {
  const header = new Uint8Array(HEADER);
  let have = 0;
  while (have < HEADER) {
    const bytes = await stream.read(header.subarray(have));
    if (bytes === null) return null;
    const n = Math.min(bytes.length, HEADER - have);
    if (bytes.buffer !== header.buffer) header.set(bytes.subarray(0, n), have);
    have += n;
    if (bytes.length > n) return { ...parse(header), rest: bytes.length - n };
  }
  return { ...parse(header), rest: 0 };
}

function parse(header: Uint8Array): { op: number; length: number } {
  const view = new DataView(header.buffer);
  return { op: header[0]!, length: view.getUint32(1) * 2 ** 32 + view.getUint32(5) };
}

async function send(stream: BenchStream, length: number): Promise<void> {
  for (let left = length; left > 0; left -= chunk.length) {
    const wait = stream.write(left < chunk.length ? chunk.subarray(0, left) : chunk);
    if (wait !== undefined) await wait;
  }
}

/** What is read is thrown away, whichever stream it is from. */
const sink = new Uint8Array(CHUNK);

/** Counts what comes until the end. */
export async function drain(stream: BenchStream, buffer: Uint8Array): Promise<number> {
  let got = 0;
  for (;;) {
    const bytes = await stream.read(buffer);
    if (bytes === null) return got;
    got += bytes.length;
  }
}

function eight(value: number): Uint8Array {
  const out = new Uint8Array(8);
  const view = new DataView(out.buffer);
  view.setUint32(0, Math.floor(value / 2 ** 32));
  view.setUint32(4, value >>> 0);
  return out;
}

/** A request as the client writes it. */
export function request(op: number, length: number): Uint8Array {
  const out = new Uint8Array(HEADER);
  out[0] = op;
  out.set(eight(length), 1);
  return out;
}

const tiny = new Uint8Array(64);

/** Answers one stream. */
export async function serve(stream: BenchStream, state: { datagrams: number }): Promise<void> {
  for (;;) {
    const header = await readHeader(stream);
    if (header === null) return stream.end();
    const { op, length, rest } = header;
    switch (op) {
      case OP_DOWNLOAD:
        await send(stream, length);
        stream.end();
        await drain(stream, tiny);
        return;
      case OP_UPLOAD: {
        const got = rest + (await drain(stream, sink));
        void stream.write(eight(got));
        return stream.end();
      }
      case OP_BOTH: {
        const reading = drain(stream, sink);
        await send(stream, length);
        stream.end();
        await reading;
        return;
      }
      case OP_REPEAT:
        await send(stream, length);
        break;
      case OP_COUNT:
        void stream.write(eight(state.datagrams));
        stream.end();
        await drain(stream, tiny);
        return;
      default:
        throw new Error(`unknown operation ${op}`);
    }
  }
}
