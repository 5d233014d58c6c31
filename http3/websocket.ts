// WebSocket over HTTP/3: rfc9220 and rfc8441#5 for how it begins, the package `ws` for all that follows (rfc6455).

import type { Duplex } from "node:stream";
import type { Http3Connection } from "./connection.ts";
import { H3_ERROR, Http3StateError, Http3StreamError } from "./errors.ts";
import type { Field } from "./qpack/field.ts";
import type { ServerStream } from "./request-stream.ts";

/** The class `WebSocket` of the package `ws` (version 8): its own wire format over a stream that is given to it. */
export interface WebSocketClass<W> {
  new (
    address: null,
    protocols: undefined,
    options: { readonly autoPong: boolean; readonly closeTimeout: number },
  ): W;
}

/** What of its objects is used here. */
interface Attachable {
  setSocket(socket: Duplex, head: Buffer, options: object): void;
  _isServer: boolean;
  _protocol: string;
}

/** Options of both sides. */
export interface WebSocketOptions {
  /** Bytes of a message that are taken. Default 1 MiB: `ws` closes the socket with 1009 where one is larger. */
  readonly maxPayload?: number;
}

/** Options of {@link acceptWebSocket}. */
export interface AcceptWebSocketOptions extends WebSocketOptions {
  /** Chooses one of the protocols that the client offers; null or nothing for none. */
  readonly handleProtocols?: (offered: readonly string[], stream: ServerStream) => string | null | undefined;
  /** More fields of the response. */
  readonly fields?: readonly Field[];
}

/** Options of {@link openWebSocket}. */
export interface OpenWebSocketOptions extends WebSocketOptions {
  /** Protocols to offer, the best first. */
  readonly protocols?: readonly string[];
  /** More fields of the request: origin, cookies … */
  readonly fields?: readonly Field[];
  readonly signal?: AbortSignal;
}

const MAX_PAYLOAD = 1_048_576;

/** Milliseconds for which `ws` waits for the answer to its close. */
const CLOSE_TIMEOUT = 30_000;

function attach<W>(
  WebSocket: WebSocketClass<W>,
  duplex: Duplex,
  server: boolean,
  protocol: string,
  maxPayload: number,
): W {
  const socket = new WebSocket(null, undefined, { autoPong: true, closeTimeout: CLOSE_TIMEOUT });
  const inner = socket as Attachable;
  if (typeof inner.setSocket !== "function" || typeof inner._isServer !== "boolean") {
    duplex.destroy();
    throw new Http3StateError("the class WebSocket of the package `ws`, version 8, is needed");
  }
  // rfc6455#5.1 a client MUST mask all frames that it sends to the server. A server MUST NOT mask any frames.
  inner._isServer = server;
  inner._protocol = protocol;
  inner.setSocket(duplex, Buffer.alloc(0), {
    allowSynchronousEvents: true,
    maxPayload,
    skipUTF8Validation: false,
  });
  return socket;
}

const valueOf = (fields: readonly Field[], wanted: string): string | undefined => {
  const lines = fields.filter(({ name }) => name === wanted).map(({ value }) => value);
  return lines.length === 0 ? undefined : lines.join(",");
};

const listOf = (value: string | undefined): string[] =>
  (value ?? "").split(",").flatMap((item) => (item.trim() === "" ? [] : [item.trim()]));

/** Whether a request asks for a WebSocket. */
export function isWebSocket(stream: ServerStream): boolean {
  const { method, protocol } = stream.request;
  return method === "CONNECT" && protocol === "websocket";
}

/**
 * Accepts a WebSocket: for `ServerOptions.connect`, with `enableConnectProtocol`. Extensions (compression) are not used.
 *
 * @param WebSocket - the class of that name of the package `ws`
 * @returns a WebSocket of `ws` that is open; listen to its events before anything else is awaited
 * @throws {Http3StateError} where the request is none for a WebSocket, or of another version: it is answered then
 * @example
 * import { acceptWebSocket, Server } from "quic-ts/http3";
 * import { selfSigned } from "quic-ts";
 * import { WebSocket } from "ws";
 * const server = new Server({
 *   ...selfSigned(),
 *   enableConnectProtocol: true,
 *   connect: async (stream) => {
 *     const socket = await acceptWebSocket(stream, WebSocket);
 *     socket.on("message", (data) => socket.send(data));
 *   },
 * });
 */
export async function acceptWebSocket<W>(
  stream: ServerStream,
  WebSocket: WebSocketClass<W>,
  options: AcceptWebSocketOptions = {},
): Promise<W> {
  const { fields } = stream.request;
  if (!isWebSocket(stream)) {
    await refuse(stream, 501, []);
    throw new Http3StateError("the request is none for a WebSocket");
  }
  // rfc6455#4.2.2: a version that is not understood is answered with those that are. The nonces of HTTP/1 are not used:
  // rfc8441#5 the Sec-WebSocket-Key and Sec-WebSocket-Accept header fields are superseded.
  const version = valueOf(fields, "sec-websocket-version");
  if (version !== "13") {
    await refuse(stream, 426, [{ name: "sec-websocket-version", value: "13" }]);
    throw new Http3StateError(`the client's WebSocket has version ${version ?? "none"}, not 13`);
  }
  const offered = listOf(valueOf(fields, "sec-websocket-protocol"));
  const protocol = options.handleProtocols?.(offered, stream) ?? "";
  const answer = [...(options.fields ?? [])];
  if (protocol !== "") answer.push({ name: "sec-websocket-protocol", value: protocol });
  await stream.respond(200, answer);
  return attach(WebSocket, stream.toNodeStream(), true, protocol, options.maxPayload ?? MAX_PAYLOAD);
}

async function refuse(stream: ServerStream, status: number, fields: readonly Field[]): Promise<void> {
  await stream.respond(status, fields);
  await stream.end();
  stream.finishReading();
}

/**
 * Opens a WebSocket on a connection.
 *
 * @param url - `wss:` or `https:`
 * @param WebSocket - the class of that name of the package `ws`
 * @returns a WebSocket of `ws` that is open; listen to its events before anything else is awaited
 * @throws {Http3StateError} where the server takes no extended CONNECT
 * @throws {Http3StreamError} where it refuses: its status stands in the message; what `connection.request` throws
 */
export async function openWebSocket<W>(
  connection: Http3Connection,
  url: string | URL,
  WebSocket: WebSocketClass<W>,
  options: OpenWebSocketOptions = {},
): Promise<W> {
  const { host, pathname, search } = new URL(url);
  const { protocols = [], fields = [], signal } = options;
  const request = await connection.request(
    {
      method: "CONNECT",
      protocol: "websocket",
      // rfc8441#5 The scheme of the target URI MUST be "https" for "wss"-schemed WebSockets.
      scheme: "https",
      authority: host,
      path: pathname + search,
      fields: [
        { name: "sec-websocket-version", value: "13" },
        ...(protocols.length === 0 ? [] : [{ name: "sec-websocket-protocol", value: protocols.join(", ") }]),
        ...fields,
      ],
    },
    signal === undefined ? {} : { signal },
  );
  const onAbort = () => request.cancel(H3_ERROR.H3_REQUEST_CANCELLED, "the WebSocket was aborted");
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const head = await request.response();
    // rfc8441#5: 200 in place of 101.
    if (head.status !== 200) throw refused(`the server answered with ${head.status}`);
    const protocol = valueOf(head.fields, "sec-websocket-protocol") ?? "";
    // rfc6455#4.1 If the response includes a protocol that was not present in the client's handshake, the client MUST _Fail
    // the WebSocket Connection_. The same for extensions.
    if (protocol !== "" && !protocols.includes(protocol)) throw refused(`nobody asked for ${protocol}`);
    if (valueOf(head.fields, "sec-websocket-extensions") !== undefined)
      throw refused("nobody asked for extensions");
    return attach(WebSocket, request.toNodeStream(), false, protocol, options.maxPayload ?? MAX_PAYLOAD);
  } catch (error) {
    request.cancel();
    throw signal?.aborted === true ? signal.reason : error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

const refused = (why: string) => new Http3StreamError("H3_REQUEST_CANCELLED", `no WebSocket: ${why}`);
