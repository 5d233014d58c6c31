// A server's session tickets: all its state sealed into what the client keeps, rfc8446#4.6.1. Whoever has the keys reads
// the tickets, so that servers that share the keys resume each other's sessions.

import type { CryptoProvider } from "../crypto/provider.ts";
import { SEALING_OVERHEAD, SealingKeys } from "../crypto/sealing.ts";
import { fromUtf8, utf8 } from "../protocol/bytes.ts";
import { InvalidOptionError, TlsAlertError } from "../protocol/errors.ts";
import {
  MAX_CHAIN_LENGTH,
  MAX_TICKET_KEYS,
  MAX_TICKET_LENGTH,
  TICKET_KEY_ROTATION,
} from "../protocol/limits.ts";
import type { RandomSource } from "../protocol/random.ts";
import { Decoder, encode } from "./codec.ts";
import { smallCopy } from "../protocol/small-bytes.ts";

/** What a ticket says. */
export interface TicketState {
  readonly quicVersion: number;
  readonly suite: number;
  readonly alpn: string;
  readonly serverName: string | null;
  /** The pre-shared key. */
  readonly secret: Uint8Array;
  readonly ageAdd: number;
  /** Unix ms. */
  readonly created: number;
  /** Seconds. */
  readonly lifetime: number;
  /** Our transport parameters that 0-RTT relies on; null for a ticket without 0-RTT. */
  readonly remembered: Uint8Array | null;
  readonly applicationData: Uint8Array;
  /** The client's certificates, leaf first. */
  readonly chain: readonly Uint8Array[];
}

const FORMAT = 1;

function encodeState(state: TicketState): Uint8Array {
  return encode((out) => {
    out.u8(FORMAT);
    out.u32(state.quicVersion);
    out.u16(state.suite);
    out.opaque(1, utf8(state.alpn));
    out.u8(state.serverName === null ? 0 : 1);
    out.opaque(2, utf8(state.serverName ?? ""));
    out.opaque(1, state.secret);
    out.u32(state.ageAdd);
    out.time(state.created);
    out.u32(state.lifetime);
    out.u8(state.remembered === null ? 0 : 1);
    out.opaque(2, state.remembered ?? NONE);
    out.opaque(2, state.applicationData);
    out.vector(3, () => state.chain.forEach((certificate) => out.opaque(3, certificate)));
  });
}

function decodeState(bytes: Uint8Array): TicketState | null {
  try {
    const from = new Decoder(bytes, "ticket");
    if (from.u8() !== FORMAT) return null;
    const quicVersion = from.u32();
    const suite = from.u16();
    const alpn = fromUtf8(from.opaque(1, 1));
    const named = from.u8() === 1;
    const name = fromUtf8(from.opaque(2, 0));
    const secret = from.opaque(1, 32).slice();
    const ageAdd = from.u32();
    const created = from.time();
    const lifetime = from.u32();
    const early = from.u8() === 1;
    const remembered = from.opaque(2, 0).slice();
    const applicationData = smallCopy(from.opaque(2, 0));
    const chain = from.certificates(MAX_CHAIN_LENGTH);
    from.end();
    return {
      quicVersion,
      suite,
      alpn,
      serverName: named ? name : null,
      secret,
      ageAdd,
      created,
      lifetime,
      remembered: early ? remembered : null,
      applicationData,
      chain,
    };
  } catch (error) {
    // Sealed by a key of ours and yet unreadable: another program's that has the same key.
    if (error instanceof TlsAlertError) return null;
    throw error;
  }
}

const NONE = new Uint8Array(0);

/** Keys that seal tickets, the first, and open them, all. */
export class TicketKeys {
  readonly #keys: SealingKeys;
  /** Keys of our own making are replaced in time; those that were given are their owner's to replace. */
  #own = true;

  /** @param keys 32 or 48 bytes each, shared among servers; null: drawn here, and rotated. */
  constructor(provider: CryptoProvider, random: RandomSource, keys: readonly Uint8Array[] | null) {
    this.#keys = new SealingKeys(provider, random, "session ticket");
    if (keys !== null) this.replace(keys);
  }

  /**
   * From now on `keys[0]` seals and all of them open.
   * @throws {InvalidOptionError} for keys of another length.
   */
  replace(keys: readonly Uint8Array[]): void {
    if (!Array.isArray(keys) || keys.length === 0 || keys.length > MAX_TICKET_KEYS) {
      throw new InvalidOptionError("ticketKeys", `1 to ${MAX_TICKET_KEYS} keys, the one that seals first`);
    }
    for (const key of keys as readonly unknown[]) {
      if (!(key instanceof Uint8Array) || (key.length !== 32 && key.length !== 48)) {
        throw new InvalidOptionError("ticketKeys", "a key has 32 or 48 random bytes");
      }
    }
    this.#own = false;
    this.#keys.replace(keys);
  }

  /** The ticket of `state`, null where it would be too large, or the keys are gone. `context` must be the same to open it. */
  seal(state: TicketState, context: Uint8Array, wallNow: number): Uint8Array | null {
    if (this.#own) this.#rotate(wallNow);
    const plaintext = encodeState(state);
    const sealed =
      plaintext.length + SEALING_OVERHEAD > MAX_TICKET_LENGTH ? null : this.#keys.seal(plaintext, context);
    plaintext.fill(0);
    return sealed;
  }

  /** What a ticket says, null where it is not ours, tampered with, or of a key that is gone. */
  open(ticket: Uint8Array, context: Uint8Array): TicketState | null {
    if (ticket.length > MAX_TICKET_LENGTH) return null;
    const plaintext = this.#keys.open(ticket, context);
    if (plaintext === null) return null;
    const state = decodeState(plaintext);
    plaintext.fill(0);
    return state;
  }

  /** Zeroes the keys: what they sealed cannot be opened any more. */
  dispose(): void {
    this.#own = false;
    this.#keys.dispose();
  }

  #rotate(wallNow: number): void {
    const { made } = this.#keys;
    // A clock that was set back makes no reason to draw a key for every ticket.
    if (made !== null && wallNow - made < TICKET_KEY_ROTATION) return;
    this.#keys.draw(wallNow, MAX_TICKET_KEYS);
  }
}
