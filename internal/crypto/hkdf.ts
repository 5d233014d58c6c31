// HKDF-Expand-Label, rfc8446#7.1.

import { LRUCache } from "lru-cache";
import { utf8 } from "../protocol/bytes.ts";
import type { CryptoProvider, HashName } from "./provider.ts";

const EMPTY = new Uint8Array(0);
/** Secrets, keys and their like are no longer. */
const USUAL_LENGTH = 64;

interface Label {
  /** With its prefix. */
  readonly name: Uint8Array;
  /** Whole HkdfLabels without context, by the length asked for. */
  readonly bare: (Uint8Array | undefined)[];
}

/** TLS and QUIC have a few dozen labels, and exporters add theirs. */
const LABELS = new LRUCache<string, Label>({ max: 256 });

/** struct { uint16 length; opaque label<7..255>; opaque context<0..255>; } HkdfLabel */
function hkdfLabel(length: number, name: Uint8Array, context: Uint8Array): Uint8Array {
  const info = new Uint8Array(2 + 1 + name.length + 1 + context.length);
  info[0] = length >> 8;
  info[1] = length;
  info[2] = name.length;
  info.set(name, 3);
  info[3 + name.length] = context.length;
  info.set(context, 4 + name.length);
  return info;
}

/** HKDF-Expand-Label(secret, label, context, length); the label without its "tls13 " prefix. */
export function hkdfExpandLabel(
  provider: CryptoProvider,
  hash: HashName,
  secret: Uint8Array,
  label: string,
  context: Uint8Array = EMPTY,
  length: number,
): Uint8Array {
  let known = LABELS.get(label);
  if (known === undefined) LABELS.set(label, (known = { name: utf8(`tls13 ${label}`), bare: [] }));
  const { name, bare } = known;
  const info =
    context.length > 0 || length > USUAL_LENGTH
      ? hkdfLabel(length, name, context)
      : (bare[length] ??= hkdfLabel(length, name, EMPTY));
  return provider.hkdfExpand(hash, secret, info, length);
}
