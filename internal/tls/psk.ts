// Pre-shared keys: the extensions that carry them, ticket ages and binders. rfc8446#4.2.9, rfc8446#4.2.11

import { InvalidOptionError } from "../protocol/errors.ts";
import { MAX_TICKET_LIFETIME } from "../protocol/limits.ts";
import { alert, encode, type Decoder } from "./codec.ts";
import { EXTENSION, type Extension } from "./extensions.ts";

export type PskHash = "sha256" | "sha384";

/** How a PSK is used: with a key agreement (forward secrecy), or alone. */
export type PskMode = "psk_dhe_ke" | "psk_ke";

/** rfc8446#4.2.9 */
const MODES: { readonly [mode in PskMode]: number } = { psk_ke: 0, psk_dhe_ke: 1 };

/** A key that both sides have from elsewhere. */
export interface ExternalPsk {
  readonly identity: Uint8Array;
  readonly key: Uint8Array;
  readonly hash: PskHash;
}

export interface PskIdentity {
  readonly identity: Uint8Array;
  readonly obfuscatedAge: number;
}

/** What a ClientHello offers. */
export interface OfferedPsks {
  readonly identities: readonly PskIdentity[];
  readonly binders: readonly Uint8Array[];
  /** Bytes that the binders take at the end of the ClientHello: rfc8446#4.2.11.2. */
  readonly bindersLength: number;
}

/** Reads a client's pre_shared_key. */
export function readOfferedPsks(data: Decoder): OfferedPsks {
  const identities: PskIdentity[] = [];
  const list = data.vector(2, 7);
  while (list.remaining > 0) {
    identities.push({ identity: list.opaque(2, 1), obfuscatedAge: list.u32() });
  }
  const bindersLength = data.remaining;
  const binders: Uint8Array[] = [];
  const values = data.vector(2, 33);
  while (values.remaining > 0) binders.push(values.opaque(1, 32));
  if (binders.length !== identities.length) {
    throw alert("illegal_parameter", "pre_shared_key with a binder missing or left over");
  }
  return { identities, binders, bindersLength };
}

/** A client's pre_shared_key with binders of zeros: `writeBinders` fills them in. */
export function offeredPsksExtension(
  identities: readonly (PskIdentity & { readonly binderLength: number })[],
): Extension {
  const data = encode((out) => {
    out.vector(2, () => {
      for (const { identity, obfuscatedAge } of identities) {
        out.opaque(2, identity);
        out.u32(obfuscatedAge);
      }
    });
    out.vector(2, () => {
      for (const { binderLength } of identities) out.opaque(1, new Uint8Array(binderLength));
    });
  });
  return { type: EXTENSION.pre_shared_key, data };
}

/** Bytes of the binders list with its length. */
export function bindersLength(binders: readonly { readonly binderLength: number }[]): number {
  return binders.reduce((sum, { binderLength }) => sum + 1 + binderLength, 2);
}

/** Puts the binders in their places at the end of a ClientHello. */
export function writeBinders(hello: Uint8Array, binders: readonly Uint8Array[]): void {
  let end = hello.length;
  for (const binder of [...binders].reverse()) {
    hello.set(binder, end - binder.length);
    end -= binder.length + 1;
  }
}

/** A server's pre_shared_key: the index of what it took. */
export function selectedPskExtension(index: number): Extension {
  return { type: EXTENSION.pre_shared_key, data: encode((out) => out.u16(index)) };
}

export function pskModesExtension(modes: readonly PskMode[]): Extension {
  const data = encode((out) => out.vector(1, () => modes.forEach((mode) => out.u8(MODES[mode]))));
  return { type: EXTENSION.psk_key_exchange_modes, data };
}

/** Modes we know of those a client takes. */
export function readPskModes(data: Decoder): PskMode[] {
  const list = data.vector(1, 1);
  const values: number[] = [];
  while (list.remaining > 0) values.push(list.u8());
  return (Object.keys(MODES) as PskMode[]).filter((mode) => values.includes(MODES[mode]));
}

/** rfc8446#4.2.11.1 the age in milliseconds plus ticket_age_add, modulo 2^32. */
export function obfuscateAge(ageMs: number, ageAdd: number): number {
  return (Math.floor(ageMs) + ageAdd) % 2 ** 32;
}

/** The age a client claims, ms. */
export function revealAge(obfuscated: number, ageAdd: number): number {
  return (obfuscated - ageAdd + 2 ** 32) % 2 ** 32;
}

/**
 * Whether a ticket of `lifetime` seconds may be used `ageMs` after it came.
 * rfc8446#4.6.1 clients MUST NOT cache tickets for longer than 7 days, regardless of the ticket_lifetime.
 * rfc8446#4.2.11.1 clients MUST NOT attempt to use tickets which have ages greater than the "ticket_lifetime" value.
 */
export function ticketIsFresh(ageMs: number, lifetime: number): boolean {
  return ageMs >= 0 && ageMs <= 1000 * Math.min(lifetime, MAX_TICKET_LIFETIME);
}

/** @throws {InvalidOptionError} for a key that cannot be one. */
export function checkExternalPsk(psk: ExternalPsk): void {
  const { identity, key, hash } = psk;
  if (!(identity instanceof Uint8Array) || identity.length === 0 || identity.length > 0xffff - 7) {
    throw new InvalidOptionError("psk", "the identity has 1 to 65,528 bytes");
  }
  checkPskKey(key, hash);
}

/** rfc9257#6 keys are of at least 128 bits. */
export function checkPskKey(key: Uint8Array, hash: PskHash): void {
  if (!(key instanceof Uint8Array) || key.length < 16) {
    throw new InvalidOptionError("psk", "the key has at least 16 bytes, and they are random");
  }
  if (hash !== "sha256" && hash !== "sha384") throw new InvalidOptionError("psk", "sha256 or sha384 as hash");
}

/** @throws {InvalidOptionError} where the modes would do without forward secrecy for tickets, or are none. */
export function checkPskModes(modes: readonly PskMode[], external: boolean): void {
  if (modes.length === 0 || modes.some((mode) => MODES[mode] === undefined)) {
    throw new InvalidOptionError("pskModes", "psk_dhe_ke, psk_ke or both");
  }
  if (modes.includes("psk_ke") && !external) {
    throw new InvalidOptionError("pskModes", "psk_ke, which has no forward secrecy, needs an external PSK");
  }
}
