// A crypto provider that counts what it is asked for: work that does not depend on the machine.
import { simProvider } from "../../internal/crypto/sim.ts";
import type { CryptoProvider } from "../../internal/crypto/provider.ts";

export interface Counts {
  /** Packet protection keys made. */
  aeads: number;
  opens: number;
  seals: number;
  /** HKDF steps. */
  derivations: number;
  /** Public key operations of any kind. */
  asymmetric: number;
  /** AEAD calls for tokens, tickets and Retry tags. */
  oneShots: number;
}

/** What counts is asked of the provider itself. */
export function counted(): { readonly provider: CryptoProvider; readonly counts: Counts } {
  const inner = simProvider();
  const counts: Counts = { aeads: 0, opens: 0, seals: 0, derivations: 0, asymmetric: 0, oneShots: 0 };
  const provider = Object.create(inner) as { -readonly [K in keyof CryptoProvider]: CryptoProvider[K] };
  provider.packetAead = (...args) => {
    counts.aeads++;
    const aead = inner.packetAead(...args);
    return {
      tagLength: 16,
      seal: (...of) => {
        counts.seals++;
        aead.seal(...of);
      },
      open: (...of) => {
        counts.opens++;
        return aead.open(...of);
      },
      dispose: () => aead.dispose(),
    };
  };
  provider.headerProtector = (...args) => inner.headerProtector(...args);
  provider.aeadSeal = (...args) => {
    counts.oneShots++;
    return inner.aeadSeal(...args);
  };
  provider.aeadOpen = (...args) => {
    counts.oneShots++;
    return inner.aeadOpen(...args);
  };
  provider.hkdfExtract = (...args) => {
    counts.derivations++;
    return inner.hkdfExtract(...args);
  };
  provider.hkdfExpand = (...args) => {
    counts.derivations++;
    return inner.hkdfExpand(...args);
  };
  provider.hash = (...args) => inner.hash(...args);
  provider.hmac = (...args) => inner.hmac(...args);
  provider.runningHash = (...args) => inner.runningHash(...args);
  provider.keyShare = (...args) => {
    counts.asymmetric++;
    return inner.keyShare(...args);
  };
  provider.respond = (...args) => {
    counts.asymmetric++;
    return inner.respond(...args);
  };
  provider.signingKey = (...args) => inner.signingKey(...args);
  provider.verify = (...args) => {
    counts.asymmetric++;
    return inner.verify(...args);
  };
  return { provider, counts };
}
