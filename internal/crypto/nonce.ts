/**
 * The packet nonce: the IV with the packet number XORed into its low 62 bits, rfc9001#5.3. Written into a buffer that
 * is reused, so that a packet costs no allocation here.
 */
export function writeNonce(out: Uint8Array, iv: Uint8Array, pn: number): void {
  const low = pn >>> 0;
  const high = (pn - low) / 0x100000000;
  out[0] = iv[0]!;
  out[1] = iv[1]!;
  out[2] = iv[2]!;
  out[3] = iv[3]!;
  out[4] = iv[4]! ^ (high >>> 24);
  out[5] = iv[5]! ^ (high >>> 16);
  out[6] = iv[6]! ^ (high >>> 8);
  out[7] = iv[7]! ^ high;
  out[8] = iv[8]! ^ (low >>> 24);
  out[9] = iv[9]! ^ (low >>> 16);
  out[10] = iv[10]! ^ (low >>> 8);
  out[11] = iv[11]! ^ low;
}
