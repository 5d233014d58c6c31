// The pre-shared keys a client offers, rfc8446#4.2.11: a session's, an external one, or both.

import type { CryptoProvider } from "../crypto/provider.ts";
import { suiteById, type CipherSuite } from "../crypto/suites.ts";
import { alert } from "./codec.ts";
import type { Extension } from "./extensions.ts";
import { KeySchedule } from "./key-schedule.ts";
import {
  bindersLength,
  obfuscateAge,
  offeredPsksExtension,
  ticketIsFresh,
  writeBinders,
  type ExternalPsk,
  type PskHash,
} from "./psk.ts";
import type { TlsSession } from "./session.ts";
import type { Transcript } from "./transcript.ts";

/** One key on offer. */
export interface PskOffer {
  readonly identity: Uint8Array;
  readonly hash: PskHash;
  readonly binderLength: number;
  /** At the Early Secret. */
  readonly schedule: KeySchedule;
  /** null for an external key. */
  readonly session: TlsSession | null;
}

const HASH_LENGTH: { readonly [hash in PskHash]: number } = { sha256: 32, sha384: 48 };

/** Whether `session` can be offered by a client that speaks `suites` and asks for `serverName`. */
export function sessionIsUsable(
  session: TlsSession,
  suites: readonly CipherSuite[],
  serverName: string | null,
  wallNow: number,
): boolean {
  const suite = suiteById(session.suite);
  return (
    suite !== undefined &&
    // rfc8446#4.6.1 any ticket MUST only be resumed with a cipher suite that has the same KDF hash algorithm.
    suites.some(({ hash }) => hash === suite.hash) &&
    session.secret.length === suite.hashLength &&
    // rfc8446#4.6.1 Clients MUST only resume if the new SNI value is valid for the server certificate presented in the
    // original session and SHOULD only resume if the SNI value matches.
    session.serverName === serverName &&
    ticketIsFresh(wallNow - session.received, session.lifetime)
  );
}

/** What stands in a ClientHello's pre_shared_key, in this order. */
export class PskOffers {
  #offers: PskOffer[] = [];

  constructor(provider: CryptoProvider, session: TlsSession | null, psk: ExternalPsk | null) {
    const add = (identity: Uint8Array, key: Uint8Array, hash: PskHash, of: TlsSession | null): void => {
      const hashLength = HASH_LENGTH[hash];
      const schedule = new KeySchedule(provider, { hash, hashLength }, key);
      this.#offers.push({ identity, hash, binderLength: hashLength, schedule, session: of });
    };
    // rfc8446#4.2.10 The PSK used to encrypt the early data MUST be the first PSK listed.
    if (session !== null) {
      add(session.ticket, session.secret, suiteById(session.suite)!.hash as PskHash, session);
    }
    if (psk !== null) add(psk.identity, psk.key, psk.hash, null);
  }

  get isEmpty(): boolean {
    return this.#offers.length === 0;
  }

  /** The first, where it is a session's. */
  get first(): PskOffer | null {
    return this.#offers[0] ?? null;
  }

  /** pre_shared_key, which MUST be the last extension, with room for the binders. */
  extension(wallNow: number): Extension {
    return offeredPsksExtension(
      this.#offers.map(({ identity, binderLength, session }) => ({
        identity,
        binderLength,
        // rfc8446#4.2.11 for identities established externally, an obfuscated_ticket_age of 0 SHOULD be used.
        obfuscatedAge:
          session === null ? 0 : obfuscateAge(Math.max(0, wallNow - session.received), session.ageAdd),
      })),
    );
  }

  /** Fills the binders into a ClientHello; the transcript stands before it. */
  bind(hello: Uint8Array, transcript: Transcript): void {
    const truncated = hello.subarray(0, hello.length - bindersLength(this.#offers));
    writeBinders(
      hello,
      this.#offers.map(({ schedule, hash, session }) =>
        schedule.binder(session === null, transcript.digestWith(hash, truncated)),
      ),
    );
  }

  /** rfc8446#4.1.4 for a second ClientHello: PSKs that do not fit the suite the server has chosen are removed. */
  keep(suite: CipherSuite): void {
    this.#offers = this.#offers.filter((offer) => {
      if (offer.hash === suite.hash) return true;
      offer.schedule.dispose();
      return false;
    });
  }

  /**
   * The one that the server took; the others are forgotten.
   * rfc8446#4.2.11 Clients MUST verify that the server's selected_identity is within the range supplied by the client,
   * that the server selected a cipher suite indicating a Hash associated with the PSK.
   */
  take(index: number, suite: CipherSuite): PskOffer {
    const offer = this.#offers[index];
    if (offer === undefined) throw alert("illegal_parameter", "the server took a PSK that was not offered");
    if (offer.hash !== suite.hash) {
      throw alert("illegal_parameter", "the server's cipher suite does not fit the PSK it took");
    }
    this.#offers.splice(index, 1);
    this.dispose();
    return offer;
  }

  dispose(): void {
    for (const { schedule } of this.#offers) schedule.dispose();
    this.#offers = [];
  }
}
