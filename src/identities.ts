// Keys and certificates as the application gives them, and those of a listener, which may change while it listens.

import type { CryptoProvider } from "../internal/crypto/provider.ts";
import { InvalidOptionError, TransportError } from "../internal/protocol/errors.ts";
import { chooseIdentity, Identities } from "../internal/tls/identities.ts";
import type { ClientHelloInfo, Identity } from "../internal/tls/types.ts";
import { reportHook } from "./refuse.ts";
import { identityOf, type SniIdentity, type TlsOptions } from "./tls-options.ts";

interface Loaded {
  readonly given: SniIdentity;
  readonly provider: CryptoProvider;
  readonly identity: Identity;
}

/** A callback that answers with the same object again and again costs no parsing. */
const loaded = new WeakMap<SniIdentity, Loaded>();

function load(given: SniIdentity, provider: CryptoProvider): Identity {
  if (typeof given !== "object" || given === null) {
    throw new InvalidOptionError("identity", "an object with key and cert is needed");
  }
  const before = loaded.get(given);
  if (before?.provider === provider && sameParts(before.given, given)) return before.identity;
  const identity = identityOf(given, provider);
  if (identity === null) throw new InvalidOptionError(given.key === undefined ? "key" : "cert", "is missing");
  loaded.set(given, { given: { ...given }, provider, identity });
  return identity;
}

function sameParts(a: SniIdentity, b: SniIdentity): boolean {
  return (
    a.key === b.key && a.cert === b.cert && a.passphrase === b.passphrase && a.ocspResponse === b.ocspResponse
  );
}

/** One or several, checked. @throws {InvalidOptionError} saying what is wrong with which. */
export function loadIdentities(
  given: SniIdentity | readonly SniIdentity[],
  provider: CryptoProvider,
): Identity[] {
  return (Array.isArray(given) ? (given as readonly SniIdentity[]) : [given as SniIdentity]).map((one) =>
    load(one, provider),
  );
}

/** Asks `SNICallback`: an identity, none, or a refusal. Its failure is an identity that is not there. */
export async function askIdentity(
  tls: TlsOptions,
  hello: ClientHelloInfo,
  provider: CryptoProvider,
): Promise<Identity | TransportError | null> {
  const callback = tls.SNICallback!;
  try {
    const answer = await callback(hello.serverName);
    if (answer === null || answer === undefined || answer instanceof TransportError) return answer ?? null;
    return chooseIdentity(loadIdentities(answer, provider), hello);
  } catch (error) {
    if (error instanceof TransportError) return error;
    reportHook(callback, "SNICallback", error, "The client was refused.");
    return null;
  }
}

/** Asks `ocspCallback`. Its failure is a response that is not there. */
export async function findOcspResponse(tls: TlsOptions, identity: Identity): Promise<Uint8Array | null> {
  const callback = tls.ocspCallback!;
  try {
    const response = (await callback(identity.chain)) ?? null;
    if (response === null || response instanceof Uint8Array) return response;
    throw new InvalidOptionError("ocspCallback", "answers with a Uint8Array, the DER of an OCSPResponse");
  } catch (error) {
    reportHook(callback, "ocspCallback", error, "Nothing was stapled.");
    return null;
  }
}

/** The default identities in the options of a server, in order. @throws {InvalidOptionError} */
export function defaultIdentities(tls: TlsOptions, provider: CryptoProvider): Identity[] {
  const own = identityOf(tls, provider);
  return [...(own === null ? [] : [own]), ...loadIdentities(tls.identities ?? [], provider)];
}

/** The identities of one listener. */
export class ListenerIdentities {
  readonly #provider: CryptoProvider;
  readonly #identities = new Identities();
  readonly #asks: boolean;

  constructor(tls: TlsOptions, provider: CryptoProvider) {
    this.#provider = provider;
    this.#asks = tls.SNICallback !== undefined;
    this.#identities.setDefault(defaultIdentities(tls, provider));
  }

  set(given: SniIdentity | readonly SniIdentity[]): void {
    const identities = loadIdentities(given, this.#provider);
    if (identities.length === 0) throw new InvalidOptionError("identity", "the list is empty");
    this.#identities.setDefault(identities);
  }

  add(hostname: string, given: SniIdentity | readonly SniIdentity[]): void {
    this.#identities.add(hostname, loadIdentities(given, this.#provider));
  }

  remove(hostname: string): boolean {
    return this.#identities.remove(hostname);
  }

  /** The core's `identity` option. */
  readonly choose = (hello: ClientHelloInfo): Identity | null | "pending" =>
    this.#identities.inContext(hello) ?? (this.#asks ? "pending" : this.#identities.byDefault(hello));
}
