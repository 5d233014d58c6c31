// One network path: a pair of addresses with what is known about it.

import { sameAddress, type Address } from "../protocol/address.ts";
import { FRAME_PATH_RESPONSE, type Role } from "../protocol/constants.ts";
import { MAX_QUEUED_PATH_RESPONSES } from "../protocol/limits.ts";
import type { RandomSource } from "../protocol/random.ts";
import { WIDE } from "../protocol/wide.ts";
import { REC_PATH_CHALLENGE, type RecordSink } from "../recovery/sent-packets.ts";
import { Amplification } from "./amplification.ts";
import { MtuDiscovery, type MtuSearch } from "./mtu-discovery.ts";
import { SpinBit, type SpinMode } from "./spin-bit.ts";
import { CHALLENGE_LENGTH, PATH_FRAME_LENGTH, PathValidation } from "./validation.ts";

/**
 * Addresses of sockets other than the connection's first, by identity: what comes to one of them came to no other. Each with
 * whether its socket sets DF.
 */
const foreign = new WeakMap<Address, boolean>();

/** @param dontFragment what leaves from there is not fragmented on its way: rfc9000#14. */
export function markForeign(local: Address, dontFragment: boolean): void {
  foreign.set(local, dontFragment);
}

function isForeign(local: Address | null): boolean {
  return local !== null && foreign.has(local);
}

/** What holds for all paths of a connection. */
export interface PathSettings {
  readonly role: Role;
  /**
   * Bytes of datagrams at first, at most; whether what the path carries is to be found out, and whether the first socket sets
   * DF, which that takes.
   */
  readonly mtu: {
    readonly base: number;
    readonly ceiling: number;
    readonly discovered: boolean;
    readonly dontFragment: boolean;
    readonly search: MtuSearch;
  };
  readonly spin: SpinMode;
  readonly random: RandomSource;
}

/** A path of one connection. */
export class Path {
  /** Which of its connection's paths: no other ever has this number. */
  readonly id: number;
  readonly remote: Address;
  /** Our address on it, null where the platform does not tell. */
  readonly local: Address | null;
  /** Largest datagram we send on it. */
  mtu: number;
  readonly discovery: MtuDiscovery;
  readonly spin: SpinBit;
  /** Sequence number of our connection ID that the peer's latest packet on this path was sent to. */
  dcidSequence = 0;
  /** Number of the peer's connection ID that is used on this path while it is not the active one, −1 for none yet. */
  cidSequence = -1;
  /** The application made it: it stays until that closes it. */
  held = false;
  /** It has been in use, or proved itself. */
  known = false;
  bytesSent = WIDE;
  bytesReceived = WIDE;
  datagramsSent = 0;
  datagramsReceived = 0;
  readonly validation: PathValidation;
  readonly #amplification: Amplification;
  readonly #responses: Uint8Array[] = [];

  /** @param validated at a client from the start: it chose the address itself. */
  constructor(
    id: number,
    remote: Address,
    local: Address | null,
    validated: boolean,
    settings: PathSettings,
  ) {
    const { mtu, random } = settings;
    this.id = id;
    this.bytesSent = this.bytesReceived = 0;
    this.remote = remote;
    this.local = local;
    this.mtu = mtu.base;
    this.discovery = new MtuDiscovery(mtu.base, mtu.ceiling, mtu.search);
    const ofSocket = local === null ? undefined : foreign.get(local);
    if (mtu.discovered && (ofSocket ?? mtu.dontFragment)) this.discovery.enable();
    this.spin = new SpinBit(settings.role, settings.spin, random);
    this.#amplification = new Amplification(validated);
    this.validation = new PathValidation(random);
  }

  /** Whether the peer is known to be at `remote`. */
  get validated(): boolean {
    return this.#amplification.validated;
  }

  /** The peer has proved that it gets what is sent there: a Handshake packet, a token or a PATH_RESPONSE of its. */
  validate(): void {
    this.#amplification.validate();
  }

  /** Bytes that may leave now under rfc9000#8.1, Infinity when validated. */
  sendBudget(): number {
    return this.#amplification.budget();
  }

  onReceived(bytes: number): void {
    this.bytesReceived += bytes;
    this.datagramsReceived++;
    this.#amplification.onReceived(bytes);
  }

  onSent(bytes: number): void {
    this.bytesSent += bytes;
    this.datagramsSent++;
    this.#amplification.onSent(bytes);
  }

  /** Addresses that are not known match any, but for those of other sockets. */
  matches(remote: Address, local: Address | null): boolean {
    if (!sameAddress(this.remote, remote)) return false;
    if (isForeign(this.local) || isForeign(local)) return this.local === local;
    return local === null || this.local === null || sameAddress(this.local, local);
  }

  /**
   * rfc9000#8.2.2 on receiving a PATH_CHALLENGE frame, an endpoint MUST respond by echoing the data in a PATH_RESPONSE
   * frame, on the path where it was received. More than the queue holds are not answered: the peer sends new ones.
   */
  onChallenge(buf: Uint8Array, start: number): void {
    if (this.#responses.length >= MAX_QUEUED_PATH_RESPONSES) return;
    this.#responses.push(buf.slice(start, start + CHALLENGE_LENGTH));
  }

  get hasFrames(): boolean {
    return this.#responses.length > 0 || this.validation.challengeDue || this.validation.pingDue;
  }

  /**
   * Writes the PATH_RESPONSE and PATH_CHALLENGE frames that are due, as far as they fit.
   * rfc9000#8.2.2 an endpoint MUST NOT send more than one PATH_RESPONSE frame in response to one PATH_CHALLENGE frame.
   * @param expanded the datagram will have at least 1,200 bytes.
   */
  writeFrames(
    buf: Uint8Array,
    pos: number,
    limit: number,
    expanded: boolean,
    records: RecordSink,
    now: number,
  ): number {
    while (this.#responses.length > 0 && pos + PATH_FRAME_LENGTH <= limit) {
      buf[pos] = FRAME_PATH_RESPONSE;
      buf.set(this.#responses.shift()!, pos + 1);
      pos += PATH_FRAME_LENGTH;
    }
    if (this.validation.challengeDue && pos + PATH_FRAME_LENGTH <= limit) {
      pos = this.validation.writeChallenge(buf, pos, expanded, now);
      // Lost challenges are not repeated, new ones are made; the record is for traces and statistics.
      records.addRecord(REC_PATH_CHALLENGE, 0, 0, 0);
    }
    if (this.validation.pingDue && pos + PATH_FRAME_LENGTH <= limit) {
      pos = this.validation.writePing(buf, pos, now);
      records.addRecord(REC_PATH_CHALLENGE, 0, 0, 0);
    }
    return pos;
  }
}
