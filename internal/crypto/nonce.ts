/**
 * The packet nonce: the IV with the packet number XORed into its low 62 bits, rfc9001#5.3. Written into a buffer that
 * is reused, so that a packet costs no allocation here. The IV begins at `at`.
 */
export function writeNonce(out: Uint8Array, iv: Uint8Array, pn: number, at = 0): void {
  const low = pn >>> 0;
  const high = (pn - low) / 0x100000000;
  out[0] = iv[at]!;
  out[1] = iv[at + 1]!;
  out[2] = iv[at + 2]!;
  out[3] = iv[at + 3]!;
  out[4] = iv[at + 4]! ^ (high >>> 24);
  out[5] = iv[at + 5]! ^ (high >>> 16);
  out[6] = iv[at + 6]! ^ (high >>> 8);
  out[7] = iv[at + 7]! ^ high;
  out[8] = iv[at + 8]! ^ (low >>> 24);
  out[9] = iv[at + 9]! ^ (low >>> 16);
  out[10] = iv[at + 10]! ^ (low >>> 8);
  out[11] = iv[at + 11]! ^ low;
}
