// One connection for several origins, where the server says so: rfc9412, rfc8336#2.4.

import { lookup as dnsLookup } from "node:dns";
import { isIP } from "node:net";
import { type Lookup, type TlsOptions, Transport } from "../../src/index.ts";
import type { Http3Connection } from "../connection.ts";
import { ORIGINS } from "../limits.ts";
import type { Place, PoolOptions } from "./pool.ts";

/** rfc9525#6.3: a wildcard is a whole label, the first one; the subject's common name says nothing. */
const HOST = { subject: "never", partialWildcards: false, multiLabelWildcards: false } as const;

/** Finds connections that were made for another origin and may be used for this one as well. */
export class Coalescing {
  readonly #lookup: Lookup;
  readonly #allowed: boolean;
  /** Whether a connection may be used for a host: the certificate and the name's addresses do not change all the time. */
  readonly #verdicts = new WeakMap<Http3Connection, Map<string, Promise<boolean>>>();

  constructor({ coalesce, tls, transport }: PoolOptions) {
    const own = transport instanceof Transport ? undefined : transport?.lookup;
    this.#lookup = own ?? dnsLookup;
    this.#allowed = coalesce !== false && (tls === undefined || judgesItself(tls));
  }

  /**
   * A connection for `origin` among those there are; null, at once, where no server has said that its connection is.
   *
   * rfc9114#3.3 To use an existing connection for a new origin, clients MUST validate the certificate presented by the server
   * for the new origin server using the rules in Section 4.3.4 of [HTTP].
   */
  find(
    origin: string,
    place: Place,
    connections: Iterable<Http3Connection>,
  ): Promise<Http3Connection | null> | null {
    if (!this.#allowed) return null;
    const claimed = [...connections].filter((one) => claims(one, origin));
    return claimed.length === 0 ? null : this.#first(claimed, origin, place.servername);
  }

  async #first(claimed: Http3Connection[], origin: string, host: string): Promise<Http3Connection | null> {
    for (const connection of claimed) {
      if ((await this.#verdict(connection, host)) && claims(connection, origin)) return connection;
    }
    return null;
  }

  #verdict(connection: Http3Connection, host: string): Promise<boolean> {
    let hosts = this.#verdicts.get(connection);
    if (hosts === undefined) this.#verdicts.set(connection, (hosts = new Map()));
    let verdict = hosts.get(host);
    if (verdict === undefined) {
      verdict = certified(connection, host) ? this.#resolvesTo(connection, host) : Promise.resolve(false);
      if (hosts.size < ORIGINS) hosts.set(host, verdict);
    }
    return verdict;
  }

  /**
   * rfc8336#4: whoever has a valid certificate could otherwise take over an origin without being on the path to it, so that
   * names are looked up here as well.
   */
  #resolvesTo({ quic: { remoteAddress } }: Http3Connection, host: string): Promise<boolean> {
    const at = remoteAddress.slice(0, remoteAddress.lastIndexOf(":")).replace(/^\[|\]$/g, "");
    return new Promise((resolve) => {
      this.#lookup(host, { all: true, family: 0 }, (error, found) => {
        resolve(error === null && found.some(({ address }) => address === at));
      });
    });
  }
}

/** rfc8336#2.4 such clients MUST NOT consider a connection to be authoritative for an origin not present in the Origin Set. */
const claims = (connection: Http3Connection, origin: string): boolean =>
  connection.acceptsRequests && connection.origins?.has(origin) === true;

function certified(connection: Http3Connection, host: string): boolean {
  const { authorized, peerCertificates } = connection.quic.connectionState();
  const [leaf] = peerCertificates;
  if (!authorized || leaf === undefined) return false;
  return (isIP(host) === 0 ? leaf.checkHost(host, HOST) : leaf.checkIP(host)) !== undefined;
}

/** Whoever decides on certificates in another way was asked about one origin alone. */
const judgesItself = (tls: Omit<TlsOptions, "ALPNProtocols">): boolean =>
  tls.rejectUnauthorized !== false &&
  tls.checkServerIdentity === undefined &&
  tls.verifyPeer === undefined &&
  tls.servername === undefined;
