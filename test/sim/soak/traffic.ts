// What the connections of the soak do, and the books that are kept of it: each byte that was written is read by the other
// side, or is one of those that a reset, by its name, took away.
import type { Connection } from "../../../internal/connection/connection.ts";
import type { Stream } from "../../../internal/stream/stream.ts";
import { fillContent } from "../scenario.ts";

/** Why a stream was reset: the application's codes. */
export const RESETS: ReadonlyMap<bigint, string> = new Map([
  [0x51n, "given up by the sender"],
  [0x52n, "not wanted by the receiver"],
]);
export const GIVEN_UP = 0x51n;
export const NOT_WANTED = 0x52n;

/** One direction of one stream, as both ends see it. */
interface Flow {
  readonly key: number;
  readonly from: Connection;
  readonly stream: Stream;
  /** The receiver's view of it, when it has heard of the stream. */
  arrived: Stream | null;
  toSend: number;
  written: number;
  read: number;
}

export interface Books {
  streams: number;
  /** Bytes of streams. */
  written: number;
  delivered: number;
  readonly discarded: Record<string, number>;
  resets: number;
  datagrams: number;
}

const SCRATCH = new Uint8Array(16_384);
const EXPECTED = new Uint8Array(16_384);

/** A pair of connections and the flows between them. */
export class Pair {
  readonly client: Connection;
  server: Connection | null = null;
  readonly index: number;
  readonly #flows = new Map<number, Flow>();
  readonly #fail: (message: string) => never;
  readonly #books: Books;

  constructor(client: Connection, index: number, books: Books, fail: (message: string) => never) {
    this.client = client;
    this.index = index;
    this.#books = books;
    this.#fail = (message) => fail(`connection ${index}: ${message}`);
  }

  get open(): number {
    return this.#flows.size;
  }

  #key(from: Connection, stream: Stream): number {
    return 2 * stream.id + (from.role === "client" ? 0 : 1);
  }

  #other(connection: Connection): Connection {
    return connection === this.client ? this.server! : this.client;
  }

  /** `from` has `bytes` for the other side. */
  send(from: Connection, stream: Stream, bytes: number): void {
    const key = this.#key(from, stream);
    const flow: Flow = { key, from, stream, arrived: null, toSend: bytes, written: 0, read: 0 };
    this.#flows.set(key, flow);
    this.#books.streams++;
    this.#write(flow);
  }

  onWritable(from: Connection, stream: Stream): void {
    const flow = this.#flows.get(this.#key(from, stream));
    if (flow !== undefined) this.#write(flow);
  }

  #write(flow: Flow): void {
    const half = flow.stream.send!;
    if (half.resetCode !== null || half.stopCode !== null) return;
    while (flow.written < flow.toSend) {
      const part = SCRATCH.subarray(0, Math.min(SCRATCH.length, flow.toSend - flow.written));
      fillContent(part, flow.written, flow.key + this.index);
      const n = half.write(part, false);
      flow.written += n;
      if (n < part.length) return;
    }
    half.finish();
  }

  onReadable(to: Connection, stream: Stream): void {
    const flow = this.#flows.get(this.#key(this.#other(to), stream));
    const half = stream.recv;
    if (half === null) return;
    if (flow === undefined) {
      // Over already: nothing may come of it any more.
      if (half.available > 0) this.#fail(`data on stream ${stream.id}, which was settled`);
      return;
    }
    flow.arrived = stream;
    for (;;) {
      const n = half.readInto(SCRATCH);
      if (n === 0) break;
      const expected = EXPECTED.subarray(0, n);
      fillContent(expected, flow.read, flow.key + this.index);
      if (Buffer.compare(expected, SCRATCH.subarray(0, n)) !== 0)
        this.#fail(`stream ${stream.id}: other bytes at ${flow.read}`);
      flow.read += n;
    }
    half.checkEnd();
  }

  /** Resets one of the flows that are under way, from its sender's or its receiver's side. False where there is none. */
  reset(choice: number, bySender: boolean): boolean {
    const flows = [...this.#flows.values()].filter(({ stream, arrived }) =>
      bySender ? !stream.send!.isTerminal : arrived !== null && !arrived.recv!.isTerminal,
    );
    const flow = flows[Math.floor(choice * flows.length)];
    if (flow === undefined) return false;
    if (bySender) flow.stream.send!.reset(GIVEN_UP);
    else flow.arrived!.recv!.stop(NOT_WANTED);
    this.#books.resets++;
    return true;
  }

  /** Closes the books of what is over. Both sides agree on how it ended, or this throws. */
  settle(): void {
    const books = this.#books;
    for (const flow of this.#flows.values()) {
      const send = flow.stream.send!;
      const recv = flow.arrived?.recv ?? null;
      // A stream whose reset overtook everything else is one that the receiver may never have read from.
      if (!send.isTerminal || (recv !== null && !recv.isTerminal)) continue;
      const code = send.resetCode;
      if (code === null && (recv?.stopCode ?? null) === null) {
        if (flow.read !== flow.toSend || flow.written !== flow.toSend)
          this.#fail(`stream ${flow.stream.id} is over with ${flow.read} of ${flow.toSend} bytes`);
      } else {
        // The receiver heard of the sender's reset, or asked for it, or has everything.
        const name = RESETS.get(recv?.stopCode ?? code ?? 0n);
        if (name === undefined) this.#fail(`stream ${flow.stream.id} was reset with ${code}`);
        if (recv !== null && recv.stopCode === null && recv.resetCode !== code && flow.read !== flow.toSend)
          this.#fail(`stream ${flow.stream.id}: reset with ${code}, heard of as ${recv.resetCode}`);
        books.discarded[name] = (books.discarded[name] ?? 0) + flow.written - flow.read;
      }
      books.written += flow.written;
      books.delivered += flow.read;
      this.#flows.delete(flow.key);
    }
  }

  /** What keeps the books open. */
  describe(): string {
    return [...this.#flows.values()]
      .map(({ stream, arrived, from, written, read, toSend }) =>
        [from.role, stream.id, stream.send!.state, arrived?.recv?.state, `${read}/${written}/${toSend}`].join(
          " ",
        ),
      )
      .join(", ");
  }
}
