// The hook that sees what a client offers before anything is chosen for it.

import type { Connection as CoreConnection } from "../internal/connection/connection.ts";
import {
  type AeadName,
  type CryptoProvider,
  GROUP,
  type GroupName,
  SIGNATURE,
  type SignatureName,
} from "../internal/crypto/provider.ts";
import { SUITES } from "../internal/crypto/suites.ts";
import type { Address } from "../internal/protocol/address.ts";
import { InvalidOptionError, TlsAlertError, TransportError } from "../internal/protocol/errors.ts";
import { chooseIdentity } from "../internal/tls/identities.ts";
import type { ClientHelloInfo, PendingAnswer, ServerChoices } from "../internal/tls/types.ts";
import { defaultIdentities } from "./identities.ts";
import { refusalOf } from "./refuse.ts";
import {
  type Authorization,
  checkTlsOptions,
  serverChoices,
  type TlsOptions,
  verifierOf,
} from "./tls-options.ts";

/** What a client offers (rfc8446#4.1.2), and where it is. Nothing of it is authenticated. */
export interface ClientHello {
  /** The name it asks for, null without one. As it came: lower case is not promised. */
  readonly serverName: string | null;
  /** Application protocols, the client's preferred one first. */
  readonly alpn: readonly string[];
  /** Those we know of, by the names that the options `ciphers`, `groups` and `sigalgs` have, in the client's order. */
  readonly ciphers: readonly AeadName[];
  readonly groups: readonly GroupName[];
  readonly signatureSchemes: readonly SignatureName[];
  /** All that is offered, as the code points of the TLS registries, GREASE (rfc8701) and all. */
  readonly codePoints: {
    readonly ciphers: readonly number[];
    readonly groups: readonly number[];
    readonly signatureSchemes: readonly number[];
    readonly versions: readonly number[];
  };
  /** It would like an OCSP response with the certificate. */
  readonly requestOCSP: boolean;
  readonly remote: Address;
  /** Where the client sent to; null where the socket does not tell. */
  readonly local: Address | null;
  /** QUIC version. */
  readonly version: number;
  /** The client has proved that it is at `remote`, by a Retry or a token (rfc9000#8.1). */
  readonly addressValidated: boolean;
  /** What `connContext` made for this client. */
  readonly userContext: unknown;
  /** Aborted when the connection ends, for what the hook waits for. */
  readonly signal: AbortSignal;
}

/** The options that `onClientHello` may replace for one client. */
export type ClientHelloOptions = Pick<
  TlsOptions,
  | "key"
  | "cert"
  | "passphrase"
  | "ocspResponse"
  | "identities"
  | "ALPNProtocols"
  | "ciphers"
  | "groups"
  | "sigalgs"
  | "honorCipherOrder"
  | "requestCert"
  | "rejectUnauthorized"
  | "ca"
  | "verifyPeer"
>;

const REPLACEABLE = [
  "key",
  "cert",
  "passphrase",
  "ocspResponse",
  "identities",
  "ALPNProtocols",
  "ciphers",
  "groups",
  "sigalgs",
  "honorCipherOrder",
  "requestCert",
  "rejectUnauthorized",
  "ca",
  "verifyPeer",
] as const satisfies readonly (keyof ClientHelloOptions)[];

/** Whoever names these expects something of it. */
const NOT_REPLACEABLE: readonly (keyof TlsOptions)[] = [
  "SNICallback",
  "onClientHello",
  "keylog",
  "crypto",
  "ocspCallback",
  "pskCallback",
  "pskModes",
  "ticketKeys",
  "sessionTimeout",
  "sessionIdContext",
  "sessionData",
];

/** What `onClientHello` answers: nothing to go on as the options say, options for this client, or a refusal. */
export type ClientHelloAnswer = ClientHelloOptions | TransportError | null | undefined | void;

interface Resolved {
  readonly given: ClientHelloOptions;
  readonly base: TlsOptions;
  readonly tls: TlsOptions;
  readonly choices: ServerChoices;
  readonly verifier: ReturnType<typeof verifierOf>;
}

/** A hook that answers with the same object again, one for each tenant say, costs no parsing. */
const resolved = new WeakMap<ClientHelloOptions, Resolved>();

/** @throws {InvalidOptionError} for what cannot be. */
function resolve(answer: ClientHelloOptions, base: TlsOptions, provider: CryptoProvider): Resolved {
  if (typeof answer !== "object") throw new InvalidOptionError("onClientHello", "answers with TLS options");
  const given: ClientHelloOptions = {};
  for (const option of REPLACEABLE) {
    const value = answer[option];
    if (value !== undefined) Object.assign(given, { [option]: value });
  }
  const before = resolved.get(answer);
  if (before?.base === base && REPLACEABLE.every((option) => before.given[option] === given[option])) {
    return before;
  }
  for (const option of NOT_REPLACEABLE) {
    if ((answer as TlsOptions)[option] !== undefined) {
      throw new InvalidOptionError(option, "cannot be chosen for one client; give it to listen");
    }
  }
  // An identity of its own takes the place of all the listener has.
  const own = given.key !== undefined || given.cert !== undefined || given.identities !== undefined;
  const { key: _k, cert: _c, passphrase: _p, ocspResponse: _o, identities: _i, ...others } = base;
  const tls: TlsOptions = { ...(own ? others : base), ...given };
  checkTlsOptions(tls, "server");
  const { psk: _psk, pskModes: _modes, ocsp: _ocsp, ...choices } = serverChoices(tls);
  const identities = own ? defaultIdentities(tls, provider) : [];
  const one: Resolved = {
    given,
    base,
    tls,
    choices: own ? { ...choices, identity: (hello) => chooseIdentity(identities, hello) } : choices,
    verifier: verifierOf(tls, provider, "client"),
  };
  resolved.set(answer, one);
  return one;
}

/** What the description takes of the application's connection. */
interface Asking {
  readonly userContext: unknown;
  readonly context: AbortSignal;
}

function describe(core: CoreConnection, hello: ClientHelloInfo, asking: Asking): ClientHello {
  const names = <T extends string>(known: { readonly [name in T]: number }, offered: readonly number[]) =>
    offered.flatMap((id) => (Object.keys(known) as T[]).filter((name) => known[name] === id));
  const { cipherSuites, groups, signatureSchemes, supportedVersions } = hello;
  return {
    serverName: hello.serverName,
    alpn: hello.alpn,
    ciphers: cipherSuites.flatMap((id) => SUITES.filter((suite) => suite.id === id).map(({ aead }) => aead)),
    groups: names<GroupName>(GROUP, groups),
    signatureSchemes: names<SignatureName>(SIGNATURE, signatureSchemes),
    codePoints: { ciphers: cipherSuites, groups, signatureSchemes, versions: supportedVersions },
    requestOCSP: hello.statusRequest,
    remote: core.remote,
    local: core.paths.active.local,
    version: core.version,
    addressValidated: core.paths.active.validated,
    userContext: asking.userContext,
    get signal() {
      return asking.context;
    },
  };
}

/**
 * Runs the hook. Never throws.
 * @returns what TLS is told, and the options that hold for the connection from now on.
 */
export async function askClientHello(
  base: TlsOptions,
  provider: CryptoProvider,
  authorization: Authorization,
  core: CoreConnection,
  hello: ClientHelloInfo,
  asking: Asking,
): Promise<{ answer: PendingAnswer; tls: TlsOptions }> {
  const hook = base.onClientHello!;
  try {
    const given = await hook(describe(core, hello, asking));
    if (given instanceof TransportError) return { answer: given, tls: base };
    if (given === null || given === undefined) return { answer: null, tls: base };
    const { choices, tls, verifier } = resolve(given, base, provider);
    return { answer: { ...choices, verify: verifier(authorization) }, tls };
  } catch (error) {
    const broken = () => new TlsAlertError("internal_error", "", { cause: error });
    return { answer: refusalOf(hook, "onClientHello", error, broken), tls: base };
  }
}
