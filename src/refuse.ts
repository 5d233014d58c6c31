// How a server's hooks say no, and what becomes of those that fail.

import { ALERT, type AlertName, CONNECTION_REFUSED, CRYPTO_ERROR } from "../internal/protocol/constants.ts";
import { InvalidOptionError, TlsAlertError, TransportError } from "../internal/protocol/errors.ts";

/** How a connection is refused. */
export interface Refusal {
  /** The TLS alert that the client gets (rfc8446#6), by its name or number. Default: CONNECTION_REFUSED and no alert. */
  alert?: AlertName | number;
  /** Text for the client's logs, cut at 512 bytes: visible to whoever sees the packets. Default none. */
  reason?: string;
}

/**
 * What a hook of a server throws, or returns, to refuse a client: `onClientHello`, `getConfigForClient`, `connContext`,
 * `SNICallback`.
 * @throws {InvalidOptionError} for an alert that does not exist.
 *
 * @example
 * const listener = await listenAddr(4433, {
 *   ...selfSigned(),
 *   ALPNProtocols: ["echo"],
 *   onClientHello({ serverName, remote }) {
 *     if (remote.ip === "192.0.2.1") throw refuse(); // CONNECTION_REFUSED, rfc9000#20.1
 *     if (serverName !== "localhost") throw refuse({ alert: "unrecognized_name", reason: "no such site" });
 *   },
 * });
 */
export function refuse({ alert, reason = "" }: Refusal = {}): TransportError {
  if (typeof reason !== "string") throw new InvalidOptionError("reason", "a string");
  if (alert === undefined) return new TransportError(CONNECTION_REFUSED, reason);
  if (typeof alert === "string" && Object.hasOwn(ALERT, alert)) return new TlsAlertError(alert, reason);
  if (typeof alert === "number" && Number.isInteger(alert) && alert >= 0 && alert <= 255) {
    return new TransportError(CRYPTO_ERROR + alert, reason);
  }
  throw new InvalidOptionError(
    "alert",
    `one of ${Object.keys(ALERT).join(", ")}, or a number of at most 255`,
  );
}

const reported = new WeakSet<object>();

/** A defect of a hook, which clients are not told about and the operator is: once for each hook. */
export function reportHook(hook: object, name: string, error: unknown, outcome: string): void {
  if (reported.has(hook)) return;
  reported.add(hook);
  const reason = error instanceof Error ? error.message : String(error);
  process.emitWarning(`${name} failed: ${reason}. ${outcome}`, { code: "QUIC_HOOK" });
}

/** What a hook's failure comes to: its refusal, or `otherwise` where it is a defect. */
export function refusalOf(
  hook: object,
  name: string,
  error: unknown,
  otherwise: () => TransportError,
): TransportError {
  if (error instanceof TransportError) return error;
  reportHook(hook, name, error, "The client was refused.");
  return otherwise();
}
