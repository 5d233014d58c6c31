import { ACK_DELAY_EXPONENT, MAX_ACK_DELAY } from "../protocol/limits.ts";
import { defaultTransportParameters, type TransportParameters } from "../wire/transport-parameters.ts";
import type { ConnectionConfig } from "./config.ts";

/** What we announce, of both roles: rfc9000#18.2. The caller adds connection IDs and the reset token. */
export function localParameters(config: ConnectionConfig): TransportParameters {
  return {
    ...defaultTransportParameters(),
    maxIdleTimeout: Math.round(config.maxIdleTimeout),
    maxUdpPayloadSize: config.maxUdpPayloadSize,
    initialMaxData: config.initialConnectionWindow,
    initialMaxStreamDataBidiLocal: config.initialStreamWindow,
    initialMaxStreamDataBidiRemote: config.initialStreamWindow,
    initialMaxStreamDataUni: config.initialStreamWindow,
    initialMaxStreamsBidi: config.maxIncomingStreams,
    initialMaxStreamsUni: config.maxIncomingUniStreams,
    ackDelayExponent: ACK_DELAY_EXPONENT,
    maxAckDelay: MAX_ACK_DELAY,
    disableActiveMigration: config.disableActiveMigration,
    activeConnectionIdLimit: config.activeConnectionIdLimit,
  };
}
