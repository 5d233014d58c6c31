// Resuming sessions: what a client keeps of its connections, and for whom. rfc8446#2.2, rfc9001#4.5

import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { InvalidOptionError } from "../internal/protocol/errors.ts";
import {
  MAX_TICKET_LIFETIME,
  SESSIONS_PER_SERVER,
  SESSION_CACHE_SERVERS,
} from "../internal/protocol/limits.ts";
import { bytesEqual } from "../internal/protocol/bytes.ts";
import {
  checkExternalPsk,
  checkPskModes,
  type ExternalPsk as CorePsk,
  type PskHash,
  type PskMode,
} from "../internal/tls/psk.ts";
import { type ClientSession, decodeSession, encodeSession } from "../internal/tls/session.ts";
import type { Identity, PskKey } from "../internal/tls/types.ts";

/**
 * Where a client keeps sessions. A session is a secret: who has it can take the client's place, and reads 0-RTT data.
 */
export interface SessionCache {
  /**
   * A session for this server, protocol and client, or null. It should not be handed out twice: two connections with one
   * ticket can be told to be of one client (rfc8446#C.4), and servers refuse 0-RTT under it the second time.
   */
  get(key: string): Uint8Array | null | undefined | Promise<Uint8Array | null | undefined>;
  /** Keeps `session`, in addition to others or in their place. */
  set(key: string, session: Uint8Array): void | Promise<void>;
}

/** A key both sides have from elsewhere: rfc8446#2.2, rfc9257. */
export interface Psk {
  /** Names the key; sent in the clear. */
  identity: string | Uint8Array;
  /** At least 16 random bytes. */
  key: Uint8Array;
  /** The hash it is used with: "sha256" (default) or "sha384". */
  hash?: PskHash;
}

/** TLS options about resuming and pre-shared keys. */
export interface SessionOptions {
  /**
   * Client: where sessions are kept. Default: one cache in memory for the process; sessions are resumed for the same
   * server name, port, protocols, client certificate and verifier alone, and verified anew. null: nothing is resumed.
   */
  sessionCache?: SessionCache | null;
  /** Client: resume this session, whatever is in the cache. Bytes from `onSessionTicket`; what is too old is ignored. */
  sessionTicket?: Uint8Array;
  /** Client: called with each session that the server makes possible to resume. The bytes are a secret. */
  onSessionTicket?: (session: Uint8Array) => void;
  /** Client: offered in place of the server's certificate. A server that does not know it answers with its certificate. */
  psk?: Psk;
  /** Server: the key for an identity, null for none. May be asynchronous. With it `key` and `cert` may be left out. */
  pskCallback?: (
    identity: Uint8Array,
  ) => Omit<Psk, "identity"> | null | undefined | Promise<Omit<Psk, "identity"> | null | undefined>;
  /** How external PSKs are used. Default `["psk_dhe_ke"]`; `"psk_ke"` goes without forward secrecy. */
  pskModes?: readonly PskMode[];
  /**
   * Server: keys for session tickets, of 32 or 48 random bytes; the first seals, all open. Shared by several servers they
   * resume each other's sessions. Default: keys of the listener's own, replaced twice a day.
   */
  ticketKeys?: Uint8Array | readonly Uint8Array[];
  /** Server: how long a session can be resumed, seconds, at most 604,800. Default 86,400; 0: no tickets. */
  sessionTimeout?: number;
  /** Server: sessions go on only where this is the same. */
  sessionIdContext?: string;
  /** Server: put into every ticket, and there again in `connectionState().sessionData` of the resumed connection. */
  sessionData?: Uint8Array;
}

/** Sessions in memory, those used longest ago forgotten first. Our own clients put them in and take them out as they are. */
class MemorySessionCache implements SessionCache {
  readonly #servers: LRUCache<string, ClientSession[]>;
  readonly #perServer: number;

  constructor(servers: number, perServer: number) {
    this.#servers = new LRUCache({ max: servers, ttl: 1000 * MAX_TICKET_LIFETIME });
    this.#perServer = perServer;
  }

  get(key: string): Uint8Array | null {
    const session = this.take(key);
    return session === null ? null : encodeSession(session);
  }

  set(key: string, session: Uint8Array): void {
    const decoded = decodeSession(session);
    if (decoded !== null) this.keep(key, decoded);
  }

  take(key: string): ClientSession | null {
    const kept = this.#servers.get(key);
    const newest = kept?.pop() ?? null;
    if (kept?.length === 0) this.#servers.delete(key);
    return newest;
  }

  keep(key: string, session: ClientSession): void {
    const others = (this.#servers.get(key) ?? []).filter(({ ticket }) => !bytesEqual(ticket, session.ticket));
    // A ticket of its own: the message that it came in is the connection's.
    const kept = { ...session, ticket: session.ticket.slice() };
    this.#servers.set(key, [...others, kept].slice(-this.#perServer));
  }
}

/**
 * A session cache in memory.
 * @param options.servers how many servers' sessions are kept, default 256.
 * @param options.perServer how many sessions of each, default 4.
 *
 * @example
 * const sessionCache = memorySessionCache({ servers: 10 });
 * const tls = { ALPNProtocols: ["echo"], ca, sessionCache };
 * const first = await dialAddr("localhost:4433", tls);
 * const stream = await first.openStream();
 * await stream.write(new TextEncoder().encode("hello"));
 * await stream.read(new Uint8Array(5)); // the ticket has come by now
 * await first.close();
 * const second = await dialAddr("localhost:4433", tls);
 * console.log(second.connectionState().didResume); // true
 */
export function memorySessionCache(options: { servers?: number; perServer?: number } = {}): SessionCache {
  const { servers = SESSION_CACHE_SERVERS, perServer = SESSIONS_PER_SERVER } = options;
  for (const [name, value] of Object.entries({ servers, perServer })) {
    if (!Number.isInteger(value) || value < 1) throw new InvalidOptionError(name, "an integer of at least 1");
  }
  return new MemorySessionCache(servers, perServer);
}

let processCache: SessionCache | null = null;

/** The cache of a client, null where it resumes nothing. */
export function sessionCacheOf(options: SessionOptions): SessionCache | null {
  if (options.sessionCache !== undefined) return options.sessionCache;
  return (processCache ??= memorySessionCache());
}

const verifiers = new WeakMap<object, number>();
let verifierCount = 0;

/** One number for each function: a session found good by one verifier is not offered where another decides. */
function verifierId(verifier: object): number {
  let id = verifiers.get(verifier);
  if (id === undefined) verifiers.set(verifier, (id = ++verifierCount));
  return id;
}

/** Under which sessions of a client are kept: who it talks to, about what, and as whom. */
export function sessionKey(
  serverName: string,
  port: number,
  options: SessionOptions & {
    readonly ALPNProtocols?: readonly string[];
    readonly verifyPeer?: object;
  },
  identity: Identity | null,
): string {
  const parts = [`${serverName}:${port}/${options.ALPNProtocols!.join(",")}`];
  const add = (name: string, value: string | Uint8Array): void => {
    parts.push(`${name}=${createHash("sha256").update(value).digest("base64url").slice(0, 22)}`);
  };
  if (identity !== null) add("client", identity.chain[0]!);
  if (options.psk !== undefined) add("psk", options.psk.identity);
  if (options.verifyPeer !== undefined) parts.push(`verifier=${verifierId(options.verifyPeer)}`);
  return parts.join(" ");
}

/** A client's external key as TLS takes it. */
export function pskOf(options: SessionOptions): CorePsk | null {
  const { psk } = options;
  if (psk === undefined) return null;
  const { identity, key, hash = "sha256" } = psk;
  return { identity: typeof identity === "string" ? Buffer.from(identity) : identity, key, hash };
}

/** Asks the server's `pskCallback`. Its failure is a key that is not known. */
export async function lookUpPsk(options: SessionOptions, identity: Uint8Array): Promise<PskKey | null> {
  try {
    const found = await options.pskCallback!(identity);
    return found === null || found === undefined ? null : { key: found.key, hash: found.hash ?? "sha256" };
  } catch {
    return null;
  }
}

/** The session to try, null for none. A cache that fails has none. */
export async function findSession(options: SessionOptions, key: string): Promise<ClientSession | null> {
  if (options.sessionTicket !== undefined) return decodeSession(options.sessionTicket);
  try {
    const cache = sessionCacheOf(options);
    if (cache instanceof MemorySessionCache) return cache.take(key);
    const bytes = await cache?.get(key);
    return bytes === null || bytes === undefined ? null : decodeSession(bytes);
  } catch {
    return null;
  }
}

/** What a client's connection does with its tickets. */
export class SessionKeeper {
  readonly #options: SessionOptions;
  readonly #key: string;
  readonly #sessions: ClientSession[] = [];
  #data: Uint8Array = new Uint8Array(0);

  constructor(options: SessionOptions, key: string) {
    this.#options = options;
    this.#key = key;
  }

  /** A ticket came. */
  add(session: ClientSession): void {
    this.#sessions.push(session);
    this.#keep(session);
  }

  /** Remembered with every session of the connection, also those that are in the cache already. */
  setData(data: Uint8Array): void {
    this.#data = data.slice();
    for (const session of this.#sessions) this.#keep(session);
  }

  #keep(session: ClientSession): void {
    const kept = { ...session, applicationData: this.#data };
    const { onSessionTicket } = this.#options;
    const cache = sessionCacheOf(this.#options);
    const direct = cache instanceof MemorySessionCache;
    if (direct) cache.keep(this.#key, kept);
    if (onSessionTicket === undefined && (direct || cache === null)) return;
    const bytes = encodeSession(kept);
    try {
      onSessionTicket?.(bytes);
    } catch {
      // Not the connection's fault, and no reason to end it.
    }
    try {
      if (!direct) void Promise.resolve(cache?.set(this.#key, bytes)).catch(() => {});
    } catch {
      // A cache that fails keeps nothing.
    }
  }
}

/** Checks the options of this file. @throws {InvalidOptionError} naming the option. */
export function checkSessionOptions(options: SessionOptions): void {
  const { sessionCache, sessionTicket, sessionTimeout, sessionIdContext, sessionData } = options;
  const want = (name: string, good: boolean, what: string): void => {
    if (!good) throw new InvalidOptionError(name, what);
  };
  want(
    "sessionCache",
    sessionCache === undefined ||
      sessionCache === null ||
      (typeof sessionCache.get === "function" && typeof sessionCache.set === "function"),
    "an object with get and set, or null",
  );
  for (const name of ["onSessionTicket", "pskCallback"] as const) {
    want(name, options[name] === undefined || typeof options[name] === "function", "a function is needed");
  }
  for (const [name, value] of Object.entries({ sessionTicket, sessionData })) {
    want(name, value === undefined || value instanceof Uint8Array, "a Uint8Array is needed");
  }
  want("sessionData", (sessionData?.length ?? 0) <= 4096, "at most 4,096 bytes");
  want(
    "sessionTimeout",
    sessionTimeout === undefined ||
      (Number.isInteger(sessionTimeout) && sessionTimeout >= 0 && sessionTimeout <= MAX_TICKET_LIFETIME),
    "seconds, from 0 to 604800",
  );
  const psk = pskOf(options);
  if (psk !== null) checkExternalPsk(psk);
  if (options.pskModes !== undefined) {
    want("pskModes", Array.isArray(options.pskModes), "an array is needed");
    checkPskModes(options.pskModes, psk !== null || options.pskCallback !== undefined);
  }
  want(
    "sessionIdContext",
    sessionIdContext === undefined || typeof sessionIdContext === "string",
    "a string is needed",
  );
}
