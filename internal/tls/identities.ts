// A server's identities: which one a client gets, by the name it asks for and by the signatures it can check. What is
// changed here holds for the handshakes that begin after it.

import { InvalidOptionError } from "../protocol/errors.ts";
import { chooseScheme } from "./certificate-verify.ts";
import type { ClientHelloInfo, Identity } from "./types.ts";
import type { GeneralName } from "./x509/general-name.ts";
import { hostnamePattern, matchHostname, normalizeHostname } from "./x509/hostname.ts";
import { parseCertificate } from "./x509/parse.ts";

/** An identity, and whom its certificate is for. */
interface Named {
  readonly identity: Identity;
  readonly altNames: readonly GeneralName[];
}

/** The identities for a host name or a pattern of them. */
interface Context {
  readonly pattern: string;
  readonly identities: readonly Named[];
  /** Later ones have larger numbers, and win. */
  readonly order: number;
}

export class Identities {
  #others: readonly Named[] = [];
  readonly #exact = new Map<string, Context>();
  /** `*.example.com` by `example.com`: what servers with many names have many of. */
  readonly #below = new Map<string, Context>();
  /** Wildcards of other shapes. */
  #shapes: (Context & { readonly regExp: RegExp })[] = [];
  #order = 0;

  /** For clients whose name has no context of its own, the preferred one first. */
  setDefault(identities: readonly Identity[]): void {
    this.#others = identities.map(named);
  }

  /**
   * Identities for one name, or for those that a pattern fits: `*` stands for any characters of one label. As in
   * node:tls the context that was added last wins; the same pattern again replaces what it had.
   * @throws {InvalidOptionError} where `pattern` is no host name.
   */
  add(pattern: string, identities: readonly Identity[]): void {
    const name = checked(pattern);
    if (identities.length === 0) throw new InvalidOptionError("identity", "the list is empty");
    this.remove(name);
    const context = { pattern: name, identities: identities.map(named), order: ++this.#order };
    if (!name.includes("*")) this.#exact.set(name, context);
    else if (isBelow(name)) this.#below.set(name.slice(2), context);
    else {
      const source = name.replaceAll(".", "\\.").replaceAll(/\*+/g, "[^.]*");
      this.#shapes.push({ ...context, regExp: new RegExp(`^${source}$`) });
    }
  }

  /** Whether there was one. */
  remove(pattern: string): boolean {
    const name = checked(pattern);
    if (!name.includes("*")) return this.#exact.delete(name);
    if (isBelow(name)) return this.#below.delete(name.slice(2));
    const before = this.#shapes.length;
    this.#shapes = this.#shapes.filter((context) => context.pattern !== name);
    return this.#shapes.length < before;
  }

  /** That of the context for the name, null where there is no context for it. */
  inContext(hello: ClientHelloInfo): Identity | null {
    if (this.#order === 0 || hello.serverName === null) return null;
    const name = normalizeHostname(hello.serverName);
    if (name === null) return null;
    const dot = name.indexOf(".");
    let best = this.#exact.get(name);
    for (const context of [dot < 0 ? undefined : this.#below.get(name.slice(dot + 1)), ...this.#shapes]) {
      if (context === undefined || context.order <= (best?.order ?? 0)) continue;
      if (!("regExp" in context) || (context.regExp as RegExp).test(name)) best = context;
    }
    return best === undefined ? null : choose(best.identities, hello);
  }

  /** One of the default identities, null where there are none. */
  byDefault(hello: ClientHelloInfo): Identity | null {
    return choose(this.#others, hello);
  }
}

function named(identity: Identity): Named {
  const { altNames } = parseCertificate(identity.chain[0]!).extensions;
  return { identity, altNames };
}

function checked(pattern: string): string {
  const name = typeof pattern === "string" ? hostnamePattern(pattern) : null;
  if (name === null) {
    throw new InvalidOptionError("hostname", `a host name as in "example.com" or "*.example.com"`);
  }
  return name;
}

/** `*.` and a name without wildcards. */
function isBelow(pattern: string): boolean {
  return pattern.startsWith("*.") && !pattern.includes("*", 1);
}

/**
 * Of those whose signatures the client can check the first that is for the name asked for, else the first. Where it can
 * check none the first of all: the handshake then fails by the right alert.
 */
function choose(candidates: readonly Named[], hello: ClientHelloInfo): Identity | null {
  if (candidates.length < 2) return candidates[0]?.identity ?? null;
  const { serverName } = hello;
  const fitting = candidates.filter(
    ({ identity }) => chooseScheme(identity.key.schemes, hello.signatureSchemes) !== null,
  );
  const forName =
    serverName === null
      ? undefined
      : fitting.find(({ altNames }) => matchHostname(serverName, altNames) === null);
  return (forName ?? fitting[0] ?? candidates[0])!.identity;
}

/** `choose` for identities that are no server's own: those a callback answers with. */
export function chooseIdentity(identities: readonly Identity[], hello: ClientHelloInfo): Identity | null {
  return identities.length < 2 ? (identities[0] ?? null) : choose(identities.map(named), hello);
}
