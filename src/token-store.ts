// Tokens that servers gave for the next connection: they save its Retry. rfc9000#8.1.3

import { LRUCache } from "lru-cache";
import { InvalidOptionError } from "../internal/protocol/errors.ts";
import { TOKEN_STORE_SERVERS, TOKENS_PER_SERVER } from "../internal/protocol/limits.ts";

/** Where a client keeps the tokens of servers. A token links connections of one client: servers alone can read it. */
export interface TokenStore {
  /** Takes a token out: rfc9000#8.1.3 a client SHOULD NOT reuse one. */
  pop(key: string): Uint8Array | null | undefined | Promise<Uint8Array | null | undefined>;
  /** Keeps one in addition to others. */
  put(key: string, token: Uint8Array): void | Promise<void>;
}

class MemoryTokenStore implements TokenStore {
  readonly #servers: LRUCache<string, Uint8Array[]>;
  readonly #perServer: number;

  constructor(servers: number, perServer: number) {
    this.#servers = new LRUCache({ max: servers });
    this.#perServer = perServer;
  }

  pop(key: string): Uint8Array | null {
    const kept = this.#servers.get(key);
    // The newest is good for the longest.
    const token = kept?.pop() ?? null;
    if (kept?.length === 0) this.#servers.delete(key);
    return token;
  }

  put(key: string, token: Uint8Array): void {
    this.#servers.set(key, [...(this.#servers.get(key) ?? []), token].slice(-this.#perServer));
  }
}

/**
 * A token store in memory: those used longest ago are forgotten first.
 * @param options.servers how many servers' tokens are kept, default 256.
 * @param options.perServer how many tokens of each, default 4.
 * @throws {InvalidOptionError} for numbers below 1.
 *
 * @example
 * const tokenStore = memoryTokenStore({ servers: 10 });
 * const first = await dialAddr("localhost:4433", { ALPNProtocols: ["echo"], ca }, { tokenStore });
 * await first.close();
 */
export function memoryTokenStore(options: { servers?: number; perServer?: number } = {}): TokenStore {
  const { servers = TOKEN_STORE_SERVERS, perServer = TOKENS_PER_SERVER } = options;
  for (const [name, value] of Object.entries({ servers, perServer })) {
    if (!Number.isInteger(value) || value < 1) throw new InvalidOptionError(name, "an integer of at least 1");
  }
  return new MemoryTokenStore(servers, perServer);
}

let processStore: TokenStore | null = null;

/** @throws {InvalidOptionError} for what is none. */
function storeOf(store: TokenStore | null | undefined): TokenStore | null {
  if (store === undefined) return (processStore ??= memoryTokenStore());
  if (store !== null && (typeof store.pop !== "function" || typeof store.put !== "function")) {
    throw new InvalidOptionError("tokenStore", "an object with pop and put, or null");
  }
  return store;
}

/** One client connection's side of its store. A store that fails is as good as none. */
export class TokenKeeper {
  readonly #store: TokenStore | null;
  readonly #key: string;

  /**
   * @param version rfc9369#5 the client MUST NOT use a token from a QUIC version 1 connection to initiate a version 2
   * connection, and vice versa.
   */
  constructor(store: TokenStore | null | undefined, serverName: string, port: number, version: number) {
    this.#store = storeOf(store);
    this.#key = `${serverName}:${port}/${version.toString(16)}`;
  }

  async take(): Promise<Uint8Array | null> {
    try {
      const token = await this.#store?.pop(this.#key);
      return token instanceof Uint8Array && token.length > 0 ? token : null;
    } catch {
      return null;
    }
  }

  keep(token: Uint8Array): void {
    try {
      void Promise.resolve(this.#store?.put(this.#key, token)).catch(() => {});
    } catch {
      // Not the connection's fault, and no reason to end it.
    }
  }
}
