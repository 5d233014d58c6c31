// HTTP/0.9 over QUIC, ALPN "hq-interop": `GET /path\r\n` on a bidirectional stream; the file and FIN come back.

import { createReadStream } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { join, normalize, sep } from "node:path";
import type { Connection, Listener, Stream } from "../../src/index.ts";

/** The longest request line that is read. */
const MAX_REQUEST = 4096;
/** Application error codes on streams: there are none in the protocol, these are ours. */
const BAD_REQUEST = 1;
const NOT_FOUND = 2;
const INTERNAL = 3;

/** What is told of each request; for logs. */
export interface HqRequest {
  readonly remote: string;
  readonly path: string;
  /** Bytes sent, or null where it failed. */
  readonly bytes: number | null;
}

/** Serves the files below `root` to every connection of `listener` until that is closed. */
export async function serveHq(
  listener: Listener,
  root: string,
  onRequest?: (request: HqRequest) => void,
): Promise<void> {
  const top = await realpath(root);
  for await (const connection of listener) {
    void serveConnection(connection, top, onRequest);
  }
}

/** Serves one connection. Never rejects: how it ended stands in `connection.closed`. */
export async function serveConnection(
  connection: Connection,
  root: string,
  onRequest?: (request: HqRequest) => void,
): Promise<void> {
  try {
    for await (const stream of connection.incomingStreams())
      void serveStream(connection, stream, root, onRequest);
  } catch {
    // The connection ended with an error; its streams have it too.
  }
}

async function serveStream(
  connection: Connection,
  stream: Stream,
  root: string,
  onRequest?: (request: HqRequest) => void,
): Promise<void> {
  let path = "";
  try {
    path = await readRequest(stream);
    const bytes = await sendFile(stream, root, path);
    onRequest?.({ remote: connection.remoteAddress, path, bytes });
  } catch (error) {
    stream.cancelWrite(error instanceof RequestError ? error.streamCode : INTERNAL);
    stream.cancelRead(0);
    onRequest?.({ remote: connection.remoteAddress, path, bytes: null });
  }
}

class RequestError extends Error {
  readonly streamCode: number;
  constructor(message: string, streamCode: number) {
    super(message);
    this.streamCode = streamCode;
  }
}

/** Reads `GET /path` up to the end of line or of stream. */
async function readRequest(stream: Stream): Promise<string> {
  let text = "";
  const buffer = new Uint8Array(MAX_REQUEST);
  const decoder = new TextDecoder();
  while (!text.includes("\n")) {
    const n = await stream.read(buffer);
    if (n === null) break;
    text += decoder.decode(buffer.subarray(0, n), { stream: true });
    if (text.length > MAX_REQUEST) throw new RequestError("request line too long", BAD_REQUEST);
  }
  const match = /^GET (\/[^\s]*)\s*$/.exec(text.split("\n")[0]!.trimEnd());
  if (match === null) throw new RequestError("not a request", BAD_REQUEST);
  return match[1]!;
}

async function sendFile(stream: Stream, root: string, path: string): Promise<number> {
  let file: string;
  try {
    // What leads out of the folder, by dots or by links, does not exist.
    file = await realpath(join(root, normalize(decodeURIComponent(path.split("?")[0]!))));
    if (file !== root && !file.startsWith(root + sep)) throw new Error("outside");
    if (!(await stat(file)).isFile()) throw new Error("not a file");
  } catch {
    throw new RequestError(`no file ${path}`, NOT_FOUND);
  }
  let bytes = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: 256 * 1024 })) {
    bytes += await stream.writeOwned(chunk as Uint8Array);
  }
  stream.close();
  return bytes;
}
