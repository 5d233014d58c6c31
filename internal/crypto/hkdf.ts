// HKDF-Expand-Label, rfc8446#7.1.

import { LRUCache } from "lru-cache";
import { utf8 } from "../protocol/bytes.ts";
import type { CryptoProvider, HashName } from "./provider.ts";

const EMPTY = new Uint8Array(0);
/** TLS and QUIC have a few dozen labels, and exporters add theirs. */
const LABELS = new LRUCache<string, Uint8Array>({ max: 256 });

/** HKDF-Expand-Label(secret, label, context, length); the label without its "tls13 " prefix. */
export function hkdfExpandLabel(
  provider: CryptoProvider,
  hash: HashName,
  secret: Uint8Array,
  label: string,
  context: Uint8Array = EMPTY,
  length: number,
): Uint8Array {
  let name = LABELS.get(label);
  if (name === undefined) LABELS.set(label, (name = utf8(`tls13 ${label}`)));
  const info = new Uint8Array(2 + 1 + name.length + 1 + context.length);
  info[0] = length >> 8;
  info[1] = length;
  info[2] = name.length;
  info.set(name, 3);
  info[3 + name.length] = context.length;
  info.set(context, 4 + name.length);
  return provider.hkdfExpand(hash, secret, info, length);
}
