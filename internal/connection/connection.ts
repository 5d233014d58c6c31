// One QUIC connection: the parts put together, and the verbs its owner calls. What the verbs do lives in the parts:
// receive.ts, frames.ts, send.ts, handshake.ts, close.ts, paths.ts, control.ts, timers.ts.

import { Pacer } from "../congestion/pacer.ts";
import type { CongestionController } from "../congestion/controller.ts";
import { PacketProtection } from "../handshake/protection.ts";
import { LocalCids, RemoteCids } from "../path/connection-ids.ts";
import type { Address } from "../protocol/address.ts";
import type { RxBatch, TxBatch } from "../protocol/batch.ts";
import {
  APPLICATION,
  INITIAL,
  HANDSHAKE,
  INTERNAL_ERROR,
  type Role,
  type Space,
} from "../protocol/constants.ts";
import {
  ApplicationError,
  HandshakeTimeoutError,
  IdleTimeoutError,
  QuicError,
  StatelessResetError,
  TransportError,
} from "../protocol/errors.ts";
import type { Tracer } from "../protocol/tracer.ts";
import { Recovery } from "../recovery/loss-recovery.ts";
import { ReceivedPackets } from "../recovery/received-packets.ts";
import { RttEstimator } from "../recovery/rtt.ts";
import { CryptoStreams } from "../stream/crypto-stream.ts";
import type { Stream } from "../stream/stream.ts";
import { StreamMap, type StreamHost } from "../stream/streams.ts";
import type { TransportParameters } from "../wire/transport-parameters.ts";
import { CloseMachine } from "./close.ts";
import type { ConnectionConfig } from "./config.ts";
import { ControlFrames } from "./control.ts";
import type { ConnectionHost, Core } from "./core.ts";
import { EventQueue, type ConnectionEvent } from "./events.ts";
import { FrameHandler } from "./frames.ts";
import { HandshakeDriver, type SeenCids } from "./handshake.ts";
import { Paths } from "./paths.ts";
import { Receiver } from "./receive.ts";
import { Sender } from "./send.ts";
import { ConnectionStats } from "./stats.ts";
import * as timer from "./timers.ts";
