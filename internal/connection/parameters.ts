import {
  ACK_DELAY_EXPONENT,
  MAX_ACK_DELAY,
  MAX_GREASED_PARAMETER,
  MIN_ACK_DELAY,
} from "../protocol/limits.ts";
import { drawBytes, drawInt, type RandomSource } from "../protocol/random.ts";
import { keptParameters, type TransportParameters } from "../wire/transport-parameters.ts";
import type { ConnectionConfig } from "./config.ts";

/** What we announce, of both roles: rfc9000#18.2. The caller adds connection IDs and the reset token. */
export function localParameters(config: ConnectionConfig): TransportParameters {
  return keptParameters({
    maxIdleTimeout: Math.round(config.maxIdleTimeout),
    maxUdpPayloadSize: config.maxUdpPayloadSize,
    maxDatagramFrameSize: config.maxDatagramFrameSize,
    initialMaxData: config.initialConnectionWindow,
    initialMaxStreamDataBidiLocal: config.initialStreamWindow,
    initialMaxStreamDataBidiRemote: config.initialStreamWindow,
    initialMaxStreamDataUni: config.initialStreamWindow,
    initialMaxStreamsBidi: config.maxIncomingStreams,
    initialMaxStreamsUni: config.maxIncomingUniStreams,
    ackDelayExponent: ACK_DELAY_EXPONENT,
    maxAckDelay: MAX_ACK_DELAY,
    minAckDelay: 1000 * MIN_ACK_DELAY,
    disableActiveMigration: config.disableActiveMigration,
    activeConnectionIdLimit: config.activeConnectionIdLimit,
    greaseQuicBit: config.greaseQuicBit,
    resetStreamAt: true,
    extra: [greasedParameter(config.random)],
  });
}

/**
 * rfc9000#18.1 Transport parameters with an identifier of the form 31 * N + 27 for integer values of N are reserved to
 * exercise the requirement that unknown transport parameters be ignored.
 */
function greasedParameter(random: RandomSource): { id: number; value: Uint8Array } {
  return {
    id: 31 * drawInt(random, 2 ** 32) + 27,
    value: drawBytes(random, drawInt(random, MAX_GREASED_PARAMETER + 1)),
  };
}
