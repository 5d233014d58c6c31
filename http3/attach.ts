// HTTP/3 beside an HTTP/1 or HTTP/2 server.

import type { Server } from "./server.ts";

/** What node:https, node:http2 and whatever is built on them have in common. */
export interface AttachableServer {
  readonly listening: boolean;
  address(): unknown;
  once(event: "listening", listener: () => void): unknown;
  once(event: "close", listener: () => void): unknown;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- their requests and responses are several classes.
  prependListener(event: "request", listener: (request: any, response: any) => void): unknown;
}

/**
 * Makes `http3` listen on the UDP port of the same number once `other` listens, say so in an Alt-Svc field of each of its
 * responses (rfc7838#3), and shut down when that closes.
 */
export async function attach(http3: Server, other: AttachableServer): Promise<void> {
  if (!other.listening) await new Promise<void>((resolve) => other.once("listening", resolve));
  const at = other.address();
  if (typeof at !== "object" || at === null || !("port" in at)) {
    throw new TypeError("the other server has no port: it listens on a path, or not at all");
  }
  const { address, port } = at as { address: string; port: number };
  await http3.listen(port, address);
  const field = http3.altSvc();
  other.prependListener("request", (_request, response: { setHeader(name: string, value: string): void }) => {
    response.setHeader("alt-svc", field);
  });
  other.once("close", () => void http3.shutdown().catch(() => {}));
}
