// What the engine needs of an implementation in JavaScript.

import type { Spec } from "./spec.ts";

export interface BenchStream {
  /** Queues bytes that nobody changes any more; a promise where the caller should wait before it writes more. */
  write(bytes: Uint8Array): Promise<unknown> | void;
  /** Nothing more will be written. */
  end(): void;
  /** The next bytes, in `buffer` or in memory of the implementation's; null at the end. */
  read(buffer: Uint8Array): Promise<Uint8Array | null>;
}

export interface BenchConnection {
  openStream(): Promise<BenchStream>;
  /** What was negotiated and what is in use. */
  info(): { [name: string]: unknown };
  close(): Promise<unknown> | void;
  /** Datagrams, where there are any. */
  sendDatagram?(bytes: Uint8Array): Promise<unknown> | void;
}

/** What a server tells the engine. */
export interface ServerEvents {
  /** `state` counts datagrams of the stream's connection. */
  onStream(stream: BenchStream, state: { datagrams: number }): void;
}

export interface Adapter {
  listen(spec: Spec, events: ServerEvents): Promise<number>;
  /** A client with one socket, where the implementation has such a thing. */
  client(spec: Spec): Promise<{
    /** Resolves when the handshake is complete and the server verified. */
    connect(): Promise<BenchConnection>;
    close(): Promise<unknown> | void;
  }>;
}
