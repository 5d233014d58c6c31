// The Retry Integrity Tag: rfc9001#5.8, version 2: rfc9369#3.3.3.

import type { CryptoProvider } from "../crypto/provider.ts";
import { concatBytes, constantTimeEqual, fromHex } from "../protocol/bytes.ts";
import { VERSION_2 } from "../protocol/constants.ts";

const KEY_1 = fromHex("be0c690b9f66575a1d766b54e368c84e");
const NONCE_1 = fromHex("461599d35d632bf2239825bb");
const KEY_2 = fromHex("8fb4b01b56ac48e260fbcbcead7ccc92");
const NONCE_2 = fromHex("d86969bc2d7c6d9990efb04a");

/** The tag for a Retry packet given without it, and the DCID of the Initial that it answers. */
export function retryIntegrityTag(
  provider: CryptoProvider,
  version: number,
  originalDcid: Uint8Array,
  retry: Uint8Array,
): Uint8Array {
  const pseudo = concatBytes(Uint8Array.of(originalDcid.length), originalDcid, retry);
  const [key, nonce] = version === VERSION_2 ? [KEY_2, NONCE_2] : [KEY_1, NONCE_1];
  return provider.aeadSeal("aes-128-gcm", key, nonce, pseudo, new Uint8Array(0));
}

/** Whether a whole Retry packet answers our Initial. rfc9001#5.8 clients MUST discard those with an invalid tag. */
export function verifyRetry(
  provider: CryptoProvider,
  version: number,
  originalDcid: Uint8Array,
  packet: Uint8Array,
): boolean {
  if (packet.length < 16) return false;
  const expected = retryIntegrityTag(provider, version, originalDcid, packet.subarray(0, packet.length - 16));
  return constantTimeEqual(expected, packet.subarray(packet.length - 16));
}
