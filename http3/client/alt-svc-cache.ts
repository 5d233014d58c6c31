// What servers said about HTTP/3 elsewhere, and where that did not work. rfc7838

import { LRUCache } from "lru-cache";
import {
  ALT_SVC_ALTERNATIVES,
  ALT_SVC_LENGTH,
  ALT_SVC_MAX_AGE,
  ALT_SVC_ORIGINS,
  BROKEN_FOR,
  BROKEN_FOR_MOST,
} from "../limits.ts";
import { H3_ALPN } from "../options.ts";

/** A place where an origin is served over HTTP/3. */
export interface Alternative {
  /** Empty: the origin's own. */
  readonly host: string;
  readonly port: number;
}

/** One entry of an Alt-Svc field. */
export interface AltSvcEntry extends Alternative {
  /** ALPN name. */
  readonly protocol: string;
  /** Seconds. */
  readonly maxAge: number;
  readonly persist: boolean;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED = '"(?:[^"\\\\]|\\\\.)*"';
const ENTRY = new RegExp(
  `[ \\t,]*(${TOKEN})=(${QUOTED})((?:[ \\t]*;[ \\t]*${TOKEN}=(?:${TOKEN}|${QUOTED}))*)[ \\t]*(?:,|$)`,
  "y",
);
const PARAMETER = new RegExp(`;[ \\t]*(${TOKEN})=(${TOKEN}|${QUOTED})`, "g");

const unquote = (text: string) => (text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text);

/**
 * Parses an Alt-Svc field's value.
 *
 * @returns its entries; "clear"; or null where it is malformed
 */
export function parseAltSvc(value: string): AltSvcEntry[] | "clear" | null {
  const text = value.trim();
  if (text === "clear") return "clear";
  if (text === "" || text.length > ALT_SVC_LENGTH) return null;
  const entries: AltSvcEntry[] = [];
  ENTRY.lastIndex = 0;
  while (ENTRY.lastIndex < text.length) {
    const match = ENTRY.exec(text);
    if (match === null) return null;
    const authority = /^(.*):(\d{1,5})$/.exec(unquote(match[2]!));
    let protocol: string;
    try {
      protocol = decodeURIComponent(match[1]!);
    } catch {
      return null;
    }
    let maxAge = 86_400;
    let persist = false;
    // rfc7838#3.1 Unknown parameters MUST be ignored.
    for (const [, name, given] of match[3]!.matchAll(PARAMETER)) {
      if (name!.toLowerCase() === "ma" && /^"?\d+"?$/.test(given!)) maxAge = Number(unquote(given!));
      if (name!.toLowerCase() === "persist") persist = unquote(given!) === "1";
    }
    const port = Number(authority?.[2]);
    if (port >= 1 && port <= 65535) {
      entries.push({ protocol, host: authority![1]!.replace(/^\[|\]$/g, ""), port, maxAge, persist });
    }
  }
  return entries;
}

interface Known {
  readonly alternatives: readonly Alternative[];
  /** Unix ms. */
  readonly until: number;
}

interface Broken {
  readonly until: number;
  readonly failures: number;
}

/**
 * Remembers where origins are served over HTTP/3, in memory; and for a while where it did not work, longer each time.
 * Several clients may share one.
 */
export class AltSvcCache {
  readonly #known = new LRUCache<string, Known>({ max: ALT_SVC_ORIGINS });
  readonly #broken = new LRUCache<string, Broken>({ max: ALT_SVC_ORIGINS });

  /**
   * Takes an Alt-Svc field of a response.
   *
   * rfc7838#2.1, rfc7838#9.2: of responses over TLS whose certificate was the origin's, and of no others.
   *
   * @param origin - as `https://example.com`
   * @param now - Unix ms
   */
  learn(origin: string, value: string, now: number = Date.now()): void {
    if (!origin.startsWith("https:")) return;
    const entries = parseAltSvc(value);
    if (entries === null) return;
    // rfc7838#3.1 The field value replaces all that were cached for that origin.
    this.#known.delete(origin);
    if (entries === "clear") return;
    const usable = entries.filter(({ protocol, maxAge }) => protocol === H3_ALPN && maxAge > 0);
    if (usable.length === 0) return;
    const alternatives = usable.slice(0, ALT_SVC_ALTERNATIVES);
    const age = Math.min(ALT_SVC_MAX_AGE, ...alternatives.map(({ maxAge }) => maxAge));
    this.#known.set(origin, {
      alternatives: alternatives.map(({ host, port }) => ({ host, port })),
      until: now + age * 1000,
    });
  }

  /** Where HTTP/3 for that origin is worth a try, or null. */
  find(origin: string, now: number = Date.now()): Alternative | null {
    const known = this.#known.get(origin);
    if (known === undefined) return null;
    if (now >= known.until) {
      this.#known.delete(origin);
      return null;
    }
    return known.alternatives.find((one) => !this.isBroken(origin, one, now)) ?? null;
  }

  isBroken(origin: string, alternative: Alternative, now: number = Date.now()): boolean {
    return (this.#broken.get(keyOf(origin, alternative))?.until ?? 0) > now;
  }

  /** No connection could be made there. */
  failed(origin: string, alternative: Alternative, now: number = Date.now()): void {
    const key = keyOf(origin, alternative);
    const failures = (this.#broken.get(key)?.failures ?? 0) + 1;
    const wait = Math.min(BROKEN_FOR_MOST, BROKEN_FOR * 2 ** (failures - 1));
    this.#broken.set(key, { until: now + wait, failures });
  }

  /** A connection was made there. */
  worked(origin: string, alternative: Alternative): void {
    this.#broken.delete(keyOf(origin, alternative));
  }

  /** Forgets what that origin said. */
  forget(origin: string): void {
    this.#known.delete(origin);
  }
}

const keyOf = (origin: string, { host, port }: Alternative) => `${origin} ${host}:${port}`;
