// Sessions of node:http2 over TLS 1.3 and TCP, with the settings it is measured with.

import { readFileSync } from "node:fs";
import {
  type ClientHttp2Session,
  connect,
  type Http2SecureServer,
  type Http2Session,
  type SecureServerOptions,
} from "node:http2";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { MAX_STREAMS } from "../../engine/spec.ts";

const TLS = { minVersion: "TLSv1.3", ciphers: "TLS_AES_128_GCM_SHA256", ecdhCurve: "X25519" } as const;
// The windows QUIC implementations grow to: http2's defaults of 64 KiB would be another comparison.
const WINDOW = 6 * 1024 * 1024;
const CONNECTION_WINDOW = 15 * 1024 * 1024;

export const serverOptions = (spec: {
  readonly cert: string;
  readonly key: string;
}): SecureServerOptions => ({
  ...TLS,
  cert: readFileSync(spec.cert),
  key: readFileSync(spec.key),
  settings: { initialWindowSize: WINDOW, maxConcurrentStreams: MAX_STREAMS },
});

/** @returns the port. */
export function serve(server: Http2SecureServer): Promise<number> {
  server.on("session", (session) => {
    session.setLocalWindowSize(CONNECTION_WINDOW);
    session.on("error", () => {});
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}

/** @param ticket without one the handshake is full. */
export function open(port: number, ca: Buffer, ticket?: Buffer): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const session = connect(`https://localhost:${port}`, {
      ...TLS,
      ca,
      host: "127.0.0.1",
      ...(ticket === undefined ? {} : { session: ticket }),
      settings: { initialWindowSize: WINDOW },
    });
    session.on("error", reject);
    session.on("connect", () => {
      session.setLocalWindowSize(CONNECTION_WINDOW);
      resolve(session);
    });
  });
}

export const close = (session: Http2Session): Promise<void> =>
  new Promise<void>((resolve) => session.close(resolve));

export function negotiated(session: Http2Session) {
  const socket = session.socket as TLSSocket;
  const { standardName: cipher } = socket.getCipher();
  return { cipher, group: "X25519", kind: "tcp", didResume: socket.isSessionReused() };
}
