// The nonce of a packet, shared by the providers.

/**
 * rfc9001#5.3 The 62 bits of the reconstructed QUIC packet number in network byte order are left-padded with zeros to
 * the size of the IV. The exclusive OR of the padded packet number and the IV forms the AEAD nonce.
 * `nonce` starts as a copy of the IV: its first four bytes never change.
 */
export function setNonce(nonce: Uint8Array, iv: Uint8Array, pn: number): void {
  const low = pn >>> 0;
  const high = (pn - low) / 0x100000000;
  nonce[4] = iv[4]! ^ (high >>> 24);
  nonce[5] = iv[5]! ^ (high >>> 16);
  nonce[6] = iv[6]! ^ (high >>> 8);
  nonce[7] = iv[7]! ^ high;
  nonce[8] = iv[8]! ^ (low >>> 24);
  nonce[9] = iv[9]! ^ (low >>> 16);
  nonce[10] = iv[10]! ^ (low >>> 8);
  nonce[11] = iv[11]! ^ low;
}
