// Which fields the encoder puts into the dynamic table. rfc9204#2.1: an encoder MAY insert any entry it chooses.

import { QPACK_POLICY_NAMES } from "../limits.ts";
import type { Field } from "./field.ts";

/**
 * - `never`: a literal with the N bit, here and on every hop after us (rfc9204#7.1.3)
 * - `literal`: a literal, this time
 * - `insert`: into the table, where that is possible
 */
export type Indexing = "never" | "literal" | "insert";

/** Decides for fields that are in neither table. */
export interface QpackPolicy {
  /**
   * @param field - never one marked `sensitive`: those are literals whatever the policy
   * @param free - whether the entry fits without evicting another
   * @param share - the part of the table's capacity it would take, 0 to 1
   */
  indexing(field: Field, free: boolean, share: number): Indexing;
}

/** Credentials. rfc9204#7.1.3 */
const SECRET = new Set(["authorization", "proxy-authorization"]);

/** Secret too when they are so short that they can be guessed. rfc9204#7.1.3, rfc7541#7.1.3 */
const COOKIES = new Set(["cookie", "set-cookie"]);
const SHORT_COOKIE = 20;

/** Fields whose value is another with nearly each message. */
const CHANGING = new Set([
  ":path",
  "age",
  "content-length",
  "content-md5",
  "content-range",
  "date",
  "digest",
  "etag",
  "expires",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "last-modified",
  "location",
  "range",
  "repr-digest",
  "set-cookie",
  "traceparent",
  "x-request-id",
]);

/** Larger entries would push out too much else. */
const MAX_SHARE = 1 / 4;

/**
 * The default: credentials and short cookies are never indexed; values that change with each message are literals;
 * anything else is inserted while there is free room, and after that when a name comes with the value it had before,
 * so that fields that come once do not push out those that come always.
 */
export class DefaultPolicy implements QpackPolicy {
  /** The last value by name, the latest last. */
  readonly #last = new Map<string, string>();

  indexing(field: Field, free: boolean, share: number): Indexing {
    const { name, value } = field;
    if (SECRET.has(name) || (value.length < SHORT_COOKIE && COOKIES.has(name))) return "never";
    if (share > MAX_SHARE || CHANGING.has(name)) return "literal";
    if (free) return "insert";
    if (this.#last.get(name) === value) return "insert";
    if (!this.#last.has(name) && this.#last.size >= QPACK_POLICY_NAMES) {
      for (const oldest of this.#last.keys()) {
        this.#last.delete(oldest);
        break;
      }
    }
    this.#last.set(name, value);
    return "literal";
  }
}

/** Everything that is no credential goes into the table: for peers with large tables and few different fields. */
export const indexAll: QpackPolicy = {
  indexing: ({ name, value }) =>
    SECRET.has(name) || (value.length < SHORT_COOKIE && COOKIES.has(name)) ? "never" : "insert",
};

/** Nothing goes into the table. */
export const indexNothing: QpackPolicy = {
  indexing: ({ name, value }) =>
    SECRET.has(name) || (value.length < SHORT_COOKIE && COOKIES.has(name)) ? "never" : "literal",
};
