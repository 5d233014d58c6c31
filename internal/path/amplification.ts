// What may be sent to an address that has not proved itself: rfc9000#8.

import { AMPLIFICATION_FACTOR } from "../protocol/limits.ts";

/** The byte account of one unvalidated address. */
export class Amplification {
  #received = 0;
  #sent = 0;
  #validated: boolean;

  constructor(validated: boolean) {
    this.#validated = validated;
  }

  get validated(): boolean {
    return this.#validated;
  }

  /**
   * rfc9000#8.1 for the purposes of avoiding amplification prior to address validation, servers MUST count all of the
   * payload bytes received in datagrams that are uniquely attributed to a single connection, valid packets or not.
   */
  onReceived(bytes: number): void {
    if (!this.#validated) this.#received += bytes;
  }

  onSent(bytes: number): void {
    if (!this.#validated) this.#sent += bytes;
  }

  validate(): void {
    this.#validated = true;
  }

  /**
   * Bytes that may leave now, Infinity once validated. rfc9000#8.1 prior to validating the client address, servers
   * MUST NOT send more than three times as many bytes as the number of bytes they have received.
   */
  budget(): number {
    // rfc9000#14.1 The server MUST also limit the number of bytes it sends before validating the address of the
    // client; see Section 8.
    // rfc9000#10.2.1 To avoid being used for an amplification attack, such endpoints MUST limit the cumulative size
    // of packets it sends to three times the cumulative size of the …
    // rfc9000#8 Therefore, after receiving packets from an address that is not yet validated, an endpoint MUST limit
    // the amount of data it sends to the unvalidated address to …
    if (this.#validated) return Infinity;
    return Math.max(0, AMPLIFICATION_FACTOR * this.#received - this.#sent);
  }
}
