// What the runner tells a peer's program, and what the program answers. Every peer, in whatever language, is measured by
// the same workloads, its client against its own server.
//
// A program gets one argument, a Spec as JSON. It prints lines of JSON:
//   server   {"listening": port}; {"usage": Usage} for each line on its stdin (a line "gc" collects garbage before)
//   client   {"opened": true} as often as a workload waits for a line on stdin; {"begin": true} when it is warm and
//            measuring begins; {"result": Result} at the end
// and ends when its stdin does.
//
// On the wire: a client opens a bidirectional stream and writes a request, one byte of operation and eight bytes of
// length, most significant first:
//   'D'  send that many bytes, then end              (download; a request and its response; 0: a stream for nothing)
//   'U'  what follows until the end is for you; answer eight bytes: how many they were
//   'B'  both at once: send that many bytes, read until the end
//   'R'  send that many bytes, then wait for the next request on this stream
//   'C'  answer eight bytes: how many datagrams this connection got

export const OP_DOWNLOAD = 0x44;
export const OP_UPLOAD = 0x55;
export const OP_BOTH = 0x42;
export const OP_REPEAT = 0x52;
export const OP_COUNT = 0x43;
export const HEADER = 9;
/** What bulk transfers write and read at a time. */
export const CHUNK = 256 * 1024;
/** Streams a peer may have open at a time. */
export const MAX_STREAMS = 1000;
export const ALPN = "bench";

export type Kind =
  | "download"
  | "upload"
  | "duplex"
  | "requests"
  | "one-stream"
  | "messages"
  | "handshakes"
  | "datagrams"
  | "connections"
  | HttpKind;

/** Over HTTP: see http.ts. */
export type HttpKind = "http-requests" | "http-download" | "http-upload" | "http-idle";

export const isHttp = (kind: Kind): kind is HttpKind => kind.startsWith("http-");

/** One flat object: Go reads it too. */
export interface Workload {
  readonly kind: Kind;
  /** Bulk: bytes to move; the first tenth is not measured. */
  readonly bytes: number;
  /** Requests in flight. */
  readonly concurrency: number;
  /** Bytes of a response, a message, a datagram. */
  readonly size: number;
  /** What goes by time: seconds measured, and before. */
  readonly seconds: number;
  readonly warmup: number;
  /** Handshakes: with a ticket. */
  readonly resumed: boolean;
  /** Connections held open, and bursts per second over all of them. */
  readonly connections: number;
  readonly rate: number;
  /** Fields of a request over HTTP. */
  readonly fields: number;
}

/** Packets of a burst in the workload "connections". */
export const BURST = 16;

export interface Spec {
  readonly role: "client" | "server";
  /** PEM files. */
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  /** Where the server listens; 0 for the server itself. */
  readonly port: number;
  /** UDP payload bytes, where a peer lets one choose. */
  readonly datagram: number;
  /** Where a peer that was installed lies. */
  readonly module: string;
  readonly workload: Workload;
}

export interface Usage {
  /** CPU seconds since the start. */
  readonly cpu: number;
  readonly rss: number;
  /** After "gc", where the program can tell: bytes in use. */
  readonly memory?: {
    readonly heap: number;
    readonly external: number;
    /** What malloc has handed out, which includes `external`; null where it does not say. */
    readonly malloc: number | null;
  };
}

export interface Result {
  /** Requests, messages, handshakes, datagrams that arrived, bursts: in the measured time. */
  readonly operations: number;
  /** Payload bytes in the measured time. */
  readonly bytes: number;
  readonly seconds: number;
  /** CPU seconds of the client in the measured time. */
  readonly cpu: number;
  readonly rss: number;
  /** What is in use: cipher, group, socket, … */
  readonly info: { readonly [name: string]: unknown };
}
