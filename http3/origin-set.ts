// The ORIGIN frame: which origins a server says its connection is for. rfc9412, rfc8336

import { type Connection, InvalidOptionError } from "../src/index.ts";
import { ORIGINS } from "./limits.ts";

/**
 * Origins as an ORIGIN frame carries them.
 *
 * @throws {InvalidOptionError} for what is none
 */
export function asciiOrigins(origins: readonly string[]): string[] {
  return origins.map((given) => {
    const origin = URL.canParse(given) ? new URL(given).origin : "null";
    if (origin === "null") {
      throw new InvalidOptionError("origins", `origins as https://example.com, not ${JSON.stringify(given)}`);
    }
    return origin;
  });
}

/**
 * A client's origin set of one connection. That an origin is in it says nothing of the certificate: rfc8336#2.4 the server
 * is still required to authenticate for it.
 */
export class OriginSet {
  readonly #quic: Connection;
  #origins: Set<string> | null = null;

  constructor(quic: Connection) {
    this.#quic = quic;
  }

  /** Null before the server has sent an ORIGIN frame: nothing is known then. */
  get origins(): ReadonlySet<string> | null {
    return this.#origins;
  }

  /** An ORIGIN frame came. Beyond the limit origins are ignored: requests to them go another way. */
  add(origins: readonly string[]): void {
    const set = (this.#origins ??= new Set([this.#initial()]));
    for (const origin of origins) if (set.size < ORIGINS) set.add(origin);
  }

  /** rfc8336#2.3: https, the name that the client asked for or else the address, and the server's port. */
  #initial(): string {
    const { remoteAddress } = this.#quic;
    const at = remoteAddress.lastIndexOf(":");
    const host = this.#quic.connectionState().servername?.toLowerCase() ?? remoteAddress.slice(0, at);
    return new URL(`https://${host}${remoteAddress.slice(at)}`).origin;
  }

  /**
   * rfc8336#2.3 Upon receipt of a response with the 421 status code, implementing clients MUST create the ASCII serialisation
   * of the corresponding request's origin and remove it from the connection's Origin Set, if present.
   */
  misdirected(scheme: string, authority: string): void {
    const origin = `${scheme}://${authority}`;
    if (URL.canParse(origin)) this.#origins?.delete(new URL(origin).origin);
  }
}
