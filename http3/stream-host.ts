// What the streams of requests ask of their connection.

import type { Http3Connection } from "./connection.ts";
import type { DatagramRouter } from "./datagrams.ts";
import type { Http3ConnectionError } from "./errors.ts";
import type { Role } from "./frames.ts";
import type { PushRequest, ServerPush } from "./push-server.ts";
import type { Field } from "./qpack/field.ts";
import type { QpackStreams } from "./qpack-streams.ts";
import type { MessageStream } from "./message-stream.ts";
import type { ServerStream } from "./request-stream.ts";
import type { Settings } from "./settings.ts";
import type { Trace } from "./trace.ts";

/** What a stream asks of its connection. @internal */
export interface StreamHost {
  readonly connection: Http3Connection;
  readonly role: Role;
  readonly qpack: QpackStreams;
  readonly maxFieldSectionSize: number;
  readonly trace: Trace | null;
  readonly takeover: ReadonlySet<number> | null;
  readonly peerSettings: Settings;
  readonly datagrams: DatagramRouter;
  /** A reserved frame is due before the next head. */
  grease: boolean;
  /** Ends the connection for what the peer did. */
  fail(error: Http3ConnectionError): void;
  /** What to tell of an error of QUIC's. */
  translate(error: unknown): unknown;
  /** The peer gave a stream up before it was over. */
  onPeerReset(stream: MessageStream): void;
  /** Both sides of it are over. */
  onStreamOver(stream: MessageStream): void;
  onPushPromise(stream: MessageStream, pushId: number, fields: readonly Field[]): void;
  onTakeover(stream: MessageStream, type: number, rest: Uint8Array): void;
  /** Client: a push was claimed by the application, or given up. */
  onPushResolved(pushId: number, decision: "claimed" | "abandoned"): void;
  /** Server: promises a response. */
  push(stream: ServerStream, request: PushRequest): Promise<ServerPush | null>;
}
