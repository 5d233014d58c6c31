// A server's choice among the pre-shared keys that a client offers: rfc8446#4.2.11.

import { suiteById, type CipherSuite } from "../crypto/suites.ts";
import { constantTimeEqual } from "../protocol/bytes.ts";
import { TlsAlertError } from "../protocol/errors.ts";
import { MAX_PSK_IDENTITIES, MAX_TICKET_LIFETIME, TICKET_AGE_TOLERANCE } from "../protocol/limits.ts";
import type { ClientHello } from "./client-hello.ts";
import { alert } from "./codec.ts";
import { KeySchedule } from "./key-schedule.ts";
import { checkPskKey, revealAge, type PskMode } from "./psk.ts";
import type { TicketState } from "./tickets.ts";
import type { Transcript } from "./transcript.ts";
import type { PendingAnswer, PendingRequest, PskKey, TlsServerOptions, VerifyResult } from "./types.ts";

/** What was chosen. */
export interface SelectedPsk {
  /** In the client's list. */
  readonly index: number;
  readonly key: Uint8Array;
  readonly mode: PskMode;
  /** null for an external key. */
  readonly ticket: TicketState | null;
  /** Ms by which the ticket is older than the client says. */
  readonly ageError: number;
  /** Why the client's chain is not trusted, where that was said to be no obstacle. */
  readonly verifyError: string | null;
}

/** A suite and, where one fits, a key. */
export interface PskChoice {
  readonly suite: CipherSuite;
  readonly psk: SelectedPsk | null;
}

type Question =
  Extract<PendingRequest, { kind: "psk" | "verify" }> extends infer Q
    ? Q extends PendingRequest
      ? Omit<Q, "id">
      : never
    : never;

/** What the selection asks of its machine. */
export interface PskHost {
  readonly options: TlsServerOptions;
  readonly wallNow: number;
  ask(question: Question, answer: (answer: PendingAnswer) => void): void;
}

/**
 * Looks the identities through, the first that fits wins: rfc8446#4.2.11 servers SHOULD select a single PSK and validate
 * solely the binder that corresponds to it. Unknown ones are ignored.
 */
export class PskSelection {
  readonly #host: PskHost;
  readonly #hello: ClientHello;
  /** In our order of preference; the first is what is negotiated without a PSK. */
  readonly #suites: readonly CipherSuite[];
  readonly #then: (choice: PskChoice) => void;

  /** `suites` are those in common, one alone where it is settled. */
  constructor(
    host: PskHost,
    hello: ClientHello,
    suites: readonly CipherSuite[],
    then: (choice: PskChoice) => void,
  ) {
    this.#host = host;
    this.#hello = hello;
    this.#suites = suites;
    this.#then = then;
  }

  start(): void {
    this.#try(0);
  }

  #try(index: number): void {
    const identities = this.#hello.psks?.identities ?? [];
    const offered = identities[index];
    if (offered === undefined || index === MAX_PSK_IDENTITIES) {
      return this.#then({ suite: this.#suites[0]!, psk: null });
    }
    const { tickets, psk } = this.#host.options;
    const ticket = tickets?.keys.open(offered.identity, tickets.context) ?? null;
    if (ticket !== null) return this.#tryTicket(index, ticket, offered.obfuscatedAge);
    const next = (): void => this.#try(index + 1);
    const decide = (found: PskKey | null): void =>
      found === null ? next() : this.#tryExternal(index, found);
    if (psk === "pending") {
      const { identity } = offered;
      return this.#host.ask({ kind: "psk", identity }, (answer) => decide(answer as PskKey | null));
    }
    decide(psk?.(offered.identity) ?? null);
  }

  #tryExternal(index: number, { key, hash }: PskKey): void {
    try {
      checkPskKey(key, hash);
    } catch (error) {
      throw new TlsAlertError("internal_error", "the pre-shared key found is unusable", { cause: error });
    }
    const allowed = this.#host.options.pskModes ?? ["psk_dhe_ke"];
    const { pskModes } = this.#hello;
    const mode = (["psk_dhe_ke", "psk_ke"] as const).find(
      (candidate) => allowed.includes(candidate) && pskModes.includes(candidate),
    );
    // rfc8446#4.2.11 client-provided, externally established PSKs SHOULD influence cipher suite selection.
    const suite = this.#suites.find((candidate) => candidate.hash === hash);
    if (mode === undefined || suite === undefined) return this.#try(index + 1);
    const psk = { index, key: key.slice(), mode, ticket: null, ageError: 0, verifyError: null };
    this.#then({ suite, psk });
  }

  #tryTicket(index: number, ticket: TicketState, obfuscatedAge: number): void {
    const { options, wallNow } = this.#host;
    const suite = this.#suites[0]!;
    const age = wallNow - ticket.created;
    const fits =
      // rfc9369#5 servers MUST validate the originating version of any session ticket and not accept one issued from
      // a different version.
      ticket.quicVersion === options.tickets!.quicVersion() &&
      // rfc8446#4.6.1 any ticket MUST only be resumed with a cipher suite that has the same KDF hash algorithm.
      suiteById(ticket.suite)?.hash === suite.hash &&
      // rfc6066#3 a server MUST NOT accept the request to resume the session if the server_name extension contains a
      // different name.
      ticket.serverName === this.#hello.serverName &&
      // Among servers that share their keys clocks differ a little.
      age >= -TICKET_AGE_TOLERANCE &&
      age <= 1000 * Math.min(ticket.lifetime, MAX_TICKET_LIFETIME) &&
      // No ticket without forward secrecy.
      this.#hello.pskModes.includes("psk_dhe_ke") &&
      chainFits(ticket, options.clientAuth);
    if (!fits) return this.#skip(index, ticket);
    const ageError = age - revealAge(obfuscatedAge, ticket.ageAdd);
    const take = (verifyError: string | null): void =>
      this.#then({
        suite,
        psk: { index, key: ticket.secret, mode: "psk_dhe_ke", ticket, ageError, verifyError },
      });
    if (ticket.chain.length === 0) return take(null);
    // Trust may have changed since: a certificate that would not be accepted now is asked for again.
    const judge = (result: VerifyResult): void =>
      result.ok ? take(result.authorizationError ?? null) : this.#skip(index, ticket);
    if (options.verify !== "pending") return judge(options.verify(ticket.chain, null, wallNow));
    this.#host.ask({ kind: "verify", chain: ticket.chain, serverName: null, role: "server" }, (answer) =>
      judge(answer as VerifyResult),
    );
  }

  #skip(index: number, ticket: TicketState): void {
    ticket.secret.fill(0);
    this.#try(index + 1);
  }
}

/** A session with a client certificate goes on only where one is asked for, and one without where none is demanded. */
function chainFits(ticket: TicketState, clientAuth: TlsServerOptions["clientAuth"]): boolean {
  return ticket.chain.length > 0 ? clientAuth !== "none" : clientAuth !== "require";
}

/**
 * Checks the binder and starts the key schedule.
 * @param raw the whole ClientHello; the transcript stands before it.
 */
export function bindPsk(
  options: TlsServerOptions,
  suite: CipherSuite,
  psk: SelectedPsk,
  hello: ClientHello,
  transcript: Transcript,
  raw: Uint8Array,
): KeySchedule {
  const offered = hello.psks!;
  const schedule = new KeySchedule(options.provider, suite, psk.key);
  psk.key.fill(0);
  const truncated = raw.subarray(0, raw.length - offered.bindersLength);
  const expected = schedule.binder(psk.ticket === null, transcript.digestWith(suite.hash, truncated));
  // rfc8446#4.2.11 Prior to accepting PSK key establishment, the server MUST validate the corresponding binder value. If
  // this value is not present or does not validate, the server MUST abort the handshake.
  if (!constantTimeEqual(expected, offered.binders[psk.index]!)) {
    schedule.dispose();
    throw alert("decrypt_error", "the binder of a pre-shared key does not verify");
  }
  return schedule;
}
