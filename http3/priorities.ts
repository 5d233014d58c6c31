// Priorities of responses: who said what, and what comes before its request. rfc9218#7, rfc9218#8

import { EARLY_PRIORITIES } from "./limits.ts";
import {
  DEFAULT_PRIORITY,
  priorityOf,
  TUNNEL_PRIORITY,
  type Priority,
  type PriorityParameters,
} from "./priority.ts";

/** What was said of one response's priority. */
export class ResponsePriority {
  /** By the request's Priority field. */
  field: PriorityParameters | null = null;
  /** By a PRIORITY_UPDATE frame. */
  frame: PriorityParameters | null = null;
  /** By the server itself. */
  server: PriorityParameters | null = null;

  of(tunnel: boolean): Priority {
    // rfc9218#7: what the frame says replaces what the field said. rfc9218#8: what the server leaves out is the client's.
    const client = priorityOf(this.frame ?? this.field, tunnel ? TUNNEL_PRIORITY : DEFAULT_PRIORITY);
    return priorityOf(this.server, client);
  }
}

/**
 * What PRIORITY_UPDATE frames said of requests that have not come yet: the newest, as many as a limit allows. rfc9218#7
 * servers need to retain the most recent one, and can limit how many they retain.
 */
export class EarlyPriorities {
  readonly #kept = new Map<number, PriorityParameters>();

  get size(): number {
    return this.#kept.size;
  }

  keep(id: number, parameters: PriorityParameters): void {
    if (this.#kept.size >= EARLY_PRIORITIES && !this.#kept.has(id)) {
      for (const oldest of this.#kept.keys()) {
        this.#kept.delete(oldest);
        break;
      }
    }
    this.#kept.set(id, parameters);
  }

  /** What was said of a request that is there now. */
  take(id: number): PriorityParameters | null {
    if (this.#kept.size === 0) return null;
    const parameters = this.#kept.get(id) ?? null;
    this.#kept.delete(id);
    return parameters;
  }
}
