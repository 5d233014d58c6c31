// No protection at all, FOR MEASURING ONLY: packets stay as they are, their tags are whatever lies there, and everything
// opens. What is left is the protocol. (The simulator's null AEAD has a checksum, to notice what its network changes.)

import { NodeProvider } from "../../../internal/crypto/node.ts";
import type { CryptoProvider, HeaderProtector, PacketAead } from "../../../internal/crypto/provider.ts";

const AEAD: PacketAead = {
  tagLength: 16,
  seal() {},
  open: (_buf, _headerOffset, _headerLength, _payloadOffset, payloadLength) => payloadLength >= 16,
  dispose() {},
};

const HEADER: HeaderProtector = {
  masks: (_samples, n, out) => void out.fill(0, 0, 16 * n),
  dispose() {},
};

class NullProvider extends NodeProvider {
  override readonly name = "null";

  override packetAead(): PacketAead {
    return AEAD;
  }

  override headerProtector(): HeaderProtector {
    return HEADER;
  }
}

/** node:crypto for the handshake, nothing for packets. */
export function nullProvider(): CryptoProvider {
  return new NullProvider();
}
