// What a client remembers of a server's settings, to use 0-RTT. rfc9114#7.2.4.2

import type { Connection } from "../src/index.ts";
import { checkRemembered, decodeSettings, encodeSettings, type Settings } from "./settings.ts";
import { VarintReader } from "./varint.ts";

/** A server's settings of last time, where a connection begins with 0-RTT. */
export class RememberedSettings {
  readonly #quic: Connection;
  /**
   * rfc9114#7.2.4.2 A client MUST comply with stored settings -- or default values if no values are stored -- when attempting
   * 0-RTT. Null for the default ones.
   */
  readonly settings: Settings | null;

  constructor(quic: Connection) {
    this.#quic = quic;
    const { handshakeComplete, sessionData } = quic.connectionState();
    this.settings = quic.role === "client" && !handshakeComplete ? recall(sessionData) : null;
  }

  /**
   * The server's SETTINGS came: these hold from now on, and are remembered with the sessions of this connection.
   *
   * @throws {Http3ConnectionError} H3_SETTINGS_ERROR where they are less than what 0-RTT was accepted with
   */
  arrived(now: Settings): void {
    if (this.#quic.role !== "client") return;
    if (this.settings !== null && this.#quic.connectionState().earlyData === "accepted") {
      checkRemembered(this.settings, now);
    }
    this.#quic.setSessionData(encodeSettings(now));
  }
}

/** Of a SETTINGS frame; null where it is none, or an application's own. */
function recall(frame: Uint8Array | null): Settings | null {
  if (frame === null || frame.length === 0) return null;
  try {
    const reader = new VarintReader(frame);
    const [type, length] = [reader.next(), reader.next()];
    if (type !== 4 || length !== reader.left) return null;
    return decodeSettings(frame.subarray(frame.length - length));
  } catch {
    return null;
  }
}
